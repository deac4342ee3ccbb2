#include "training/distributed.hpp"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string>
#include <utility>

#include "common/error.hpp"

#ifdef LLAMA_HAS_MPI
#include <mpi.h>
#endif

namespace llama {

namespace {

/// How many processes a launcher says it started (Open MPI, MPICH and what descends from it, Slurm); 1 without.
int launched_processes() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    if (const char* value = std::getenv(name)) return std::max(1, std::atoi(value));
  }
  return 1;
}

}  // namespace

#ifdef LLAMA_HAS_MPI

namespace {

/// A count of MPI is an int.
template <class T>
void sum_in_pieces(std::span<T> values, MPI_Datatype type) {
  constexpr std::size_t most = std::numeric_limits<int>::max();
  for (std::size_t first = 0; first < values.size(); first += most) {
    const std::span<T> piece = values.subspan(first, std::min(most, values.size() - first));
    MPI_Allreduce(MPI_IN_PLACE, piece.data(), static_cast<int>(piece.size()), type, MPI_SUM, MPI_COMM_WORLD);
  }
}

}  // namespace

communicator::communicator() {
  if (launched_processes() == 1) return;
  // Other threads only compute; failures end all processes, which is MPI's own default.
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  if (size_ < launched_processes()) {  // they would all write the same files
    const int size = std::exchange(size_, 1);
    MPI_Finalize();
    throw input_error("started as " + std::to_string(launched_processes()) + " processes, of which MPI connects " +
                      std::to_string(size) + "; start them with this MPI's own mpirun");
  }
  MPI_Comm here = MPI_COMM_NULL;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here);
  MPI_Comm_size(here, &local_size_);
  MPI_Comm_free(&here);
}

communicator::~communicator() {
  if (size_ > 1) MPI_Finalize();
}

void communicator::sum(std::span<float> values) const {
  if (size_ > 1) sum_in_pieces(values, MPI_FLOAT);
}

void communicator::sum(std::span<double> values) const {
  if (size_ > 1) sum_in_pieces(values, MPI_DOUBLE);
}

int communicator::max(int value) const {
  if (size_ > 1) MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  return value;
}

void communicator::abort(int exit_code) const {
  if (size_ > 1) MPI_Abort(MPI_COMM_WORLD, exit_code);
}

#else

communicator::communicator() {
  if (const int processes = launched_processes(); processes > 1) {
    throw input_error("started as one of " + std::to_string(processes) +
                      " processes, but built without MPI; install libopenmpi-dev and build again");
  }
}

communicator::~communicator() = default;
void communicator::sum(std::span<float>) const {}
void communicator::sum(std::span<double>) const {}
int communicator::max(int value) const { return value; }
void communicator::abort(int) const {}

#endif

}  // namespace llama
