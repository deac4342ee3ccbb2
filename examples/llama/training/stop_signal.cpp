#include "training/stop_signal.hpp"

#include <array>
#include <csignal>
#include <cstddef>

namespace llama {

namespace {

constexpr std::array signals = {SIGINT, SIGTERM};

volatile std::sig_atomic_t caught_signal = 0;
std::array<struct sigaction, signals.size()> previous;

extern "C" void note_signal(int number) { caught_signal = number; }

}  // namespace

stop_signal::stop_signal() {
  caught_signal = 0;
  struct sigaction action = {};
  action.sa_handler = note_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);  // once: the second one is the default again
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &action, &previous[i]);
}

stop_signal::~stop_signal() {
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &previous[i], nullptr);
}

int stop_signal::caught() noexcept { return caught_signal; }

}  // namespace llama
