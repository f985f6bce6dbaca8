// Enough of CUDA C++ to compile the kernels as C++ and run them on the CPU. The threads of a block
// are coroutines that take turns: each runs until its next barrier. So runs are reproducible, and
// a barrier that is missing is found, because nothing runs at the same time by chance.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n)
#define __shared__

using std::abs;
using std::max;
using std::min;
static long long min(long long a, int b) { return a < b ? a : b; }

struct Index { unsigned x; };
static Index threadIdx, blockIdx, blockDim, gridDim;
alignas(16) unsigned char memory[256 * 1024];  // the shared memory of the block that runs

static ucontext_t scheduler;
static ucontext_t* running;
static std::function<void()> work;
static bool finished;

static void __syncthreads() { swapcontext(running, &scheduler); }
static unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }

template <class To, class From> static To same_bits(From value) {
    To other;
    static_assert(sizeof other == sizeof value, "");
    std::memcpy(&other, &value, sizeof value);
    return other;
}
static float __uint_as_float(unsigned bits) { return same_bits<float>(bits); }
static float __int_as_float(int bits) { return same_bits<float>(bits); }
static float float16_to_float(unsigned short bits) { return same_bits<_Float16>(bits); }
static unsigned short float_to_float16(float value) {
    return same_bits<unsigned short>((_Float16)value);
}
static unsigned short float_to_bfloat16(float value) {
    const unsigned bits = same_bits<unsigned>(value);
    if (value != value) return 0x7fff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static void run_thread() {
    work();
    finished = true;
    swapcontext(running, &scheduler);
}

static void run_block() {
    constexpr std::size_t stack = 64 * 1024;
    std::vector<unsigned char> stacks(stack * blockDim.x);
    std::vector<ucontext_t> threads(blockDim.x);
    std::vector<bool> done(blockDim.x);
    std::memset(memory, 0xff, sizeof memory);  // NaN, until somebody writes something
    for (unsigned i = 0; i < blockDim.x; ++i) {
        getcontext(&threads[i]);
        threads[i].uc_stack.ss_sp = &stacks[stack * i];
        threads[i].uc_stack.ss_size = stack;
        makecontext(&threads[i], run_thread, 0);
    }
    for (unsigned left = blockDim.x; left;)
        for (unsigned i = 0; i < blockDim.x; ++i) {
            if (done[i]) continue;
            threadIdx.x = i, running = &threads[i], finished = false;
            swapcontext(&scheduler, running);
            if (finished) done[i] = true, --left;
        }
}

// Runs a kernel as the driver does: an argument is a pointer to its value.
template <class... Types, std::size_t... At>
static void launch(void (*kernel)(Types...), void** arguments, std::index_sequence<At...>) {
    static_assert(((sizeof(Types) == 8) && ...), "arguments are pointers, int64 and double");
    work = [=] { kernel(*(Types*)arguments[At]...); };
    for (blockIdx.x = gridDim.x; blockIdx.x-- > 0;) run_block();  // the order must not matter
}

template <class... Types>
static void launch(void (*kernel)(Types...), void** arguments, unsigned blocks, unsigned threads) {
    gridDim.x = blocks, blockDim.x = threads;
    launch(kernel, arguments, std::index_sequence_for<Types...>{});
}
