#pragma once

#include <span>

namespace llama {

/// The processes that train one model together: each computes a part of a step's micro-batches, and the
/// gradients are added up. One process where the program wasn't started by mpirun, or built without MPI.
///
/// Effect      the constructor starts MPI where a launcher's environment variables are set; the destructor
///             ends it.
/// Requires    one object in a program. All processes make the same calls in the same order.
/// Numerics    sums are the same bits on all processes; against one process they differ by rounding.
/// Errors      input_error where mpirun started a program that was built without MPI.
class communicator {
 public:
  communicator();
  ~communicator();
  communicator(const communicator&) = delete;
  communicator& operator=(const communicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool is_first() const { return rank_ == 0; }
  /// How many of the processes are on this machine.
  int local_size() const { return local_size_; }

  /// Replaces the numbers by their sums over all processes.
  void sum(std::span<float> values) const;
  void sum(std::span<double> values) const;
  /// The largest of all processes' values.
  int max(int value) const;

  /// Ends all processes, for failures that only one may have seen: the others wait for it otherwise. Returns
  /// where there is only this one.
  void abort(int exit_code) const;

 private:
  int rank_ = 0;
  int size_ = 1;
  int local_size_ = 1;
};

}  // namespace llama
