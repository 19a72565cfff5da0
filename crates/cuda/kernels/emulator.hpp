// Runs kernels on the host, for tests where there is no GPU. Compiled before the prelude.
//
// A kernel without barriers runs its threads one after the other. One with barriers runs the threads of a
// block as coroutines that take turns: a barrier waits until all threads of its group that are still running
// have come to it. Blocks run one after the other.

#include <cmath>
#include <math.h>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <utility>

#define EMULATOR 1
struct dim3 { unsigned x, y, z; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;

#define KERNEL(name) static void name
#define KERNEL_BOUNDS(name, threads, blocks) static void name
#define DEVICE static inline
#define DEVICE_MEMBER inline
#define SHARED static
#define DYNAMIC_SHARED(T, name) T* name = reinterpret_cast<T*>(emulator::shared)
#define INFINITY_F32 __builtin_inff()
#define __restrict__ __restrict

static inline unsigned bits_of(float x) { unsigned y; std::memcpy(&y, &x, 4); return y; }
static inline float float_of(unsigned x) { float y; std::memcpy(&y, &x, 4); return y; }
static inline double double_of(unsigned long long x) { double y; std::memcpy(&y, &x, 8); return y; }

namespace emulator {

alignas(64) static unsigned char shared[228 * 1024];

// Threads that wait for each other.
struct Group {
    int running, arrived;
    long generation;
};

const int MOST_THREADS = 1024, STACK = 256 * 1024;

struct Fiber {
    ucontext_t context;
    dim3 index;
    bool done;
};

static Fiber* fibers;
static unsigned char* stacks;
static int current;
static ucontext_t scheduler;
static Group block, warps[MOST_THREADS / 32];
static long long exchange[MOST_THREADS][2];
static void (*body)(void*);
static void* body_argument;

static inline void give_way() { swapcontext(&fibers[current].context, &scheduler); }

static void barrier(Group& group) {
    long generation = group.generation;
    if (++group.arrived == group.running) {
        group.arrived = 0;
        group.generation++;
        return;
    }
    while (group.generation == generation) give_way();
}

static void leave(Group& group) {
    group.running--;
    if (group.running > 0 && group.arrived == group.running) {
        group.arrived = 0;
        group.generation++;
    }
}

static void run_fiber() {
    body(body_argument);
    leave(block);
    leave(warps[current / 32]);
    fibers[current].done = true;
    swapcontext(&fibers[current].context, &scheduler);
}

static void run_block_with_barriers() {
    int count = int(blockDim.x * blockDim.y * blockDim.z);
    if (!fibers) {
        fibers = new Fiber[MOST_THREADS];
        stacks = static_cast<unsigned char*>(std::malloc(size_t(MOST_THREADS) * STACK));
    }
    block = Group{count, 0, 0};
    for (int w = 0; w * 32 < count; w++) warps[w] = Group{count - w * 32 < 32 ? count - w * 32 : 32, 0, 0};
    for (int i = 0; i < count; i++) {
        Fiber& fiber = fibers[i];
        fiber.index = dim3{unsigned(i) % blockDim.x, unsigned(i) / blockDim.x % blockDim.y,
                           unsigned(i) / (blockDim.x * blockDim.y)};
        fiber.done = false;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = stacks + size_t(i) * STACK;
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, run_fiber, 0);
    }
    for (int left = count; left > 0;) {
        for (int i = 0; i < count; i++) {
            if (fibers[i].done) continue;
            current = i;
            threadIdx = fibers[i].index;
            swapcontext(&scheduler, &fibers[i].context);
            if (fibers[i].done) left--;
        }
    }
}

static void run_block_in_order() {
    for (unsigned z = 0; z < blockDim.z; z++)
        for (unsigned y = 0; y < blockDim.y; y++)
            for (unsigned x = 0; x < blockDim.x; x++) {
                threadIdx = dim3{x, y, z};
                body(body_argument);
            }
}

static void run_grid(bool barriers) {
    for (unsigned z = 0; z < gridDim.z; z++)
        for (unsigned y = 0; y < gridDim.y; y++)
            for (unsigned x = 0; x < gridDim.x; x++) {
                blockIdx = dim3{x, y, z};
                // What shared memory held before is not to be relied on.
                std::memset(shared, 0xff, sizeof(shared) / 16);
                if (barriers) run_block_with_barriers();
                else run_block_in_order();
            }
}

template <class... A, size_t... I>
static void apply(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<A>*>(args[I])...);
}

template <class... A> static void launch(void (*kernel)(A...), void** args, const unsigned* grid, bool barriers) {
    struct Call { void (*kernel)(A...); void** args; };
    static Call call;
    call = Call{kernel, args};
    gridDim = dim3{grid[0], grid[1], grid[2]};
    blockDim = dim3{grid[3], grid[4], 1};
    body = [](void* argument) {
        Call& call = *static_cast<Call*>(argument);
        apply(call.kernel, call.args, std::index_sequence_for<A...>());
    };
    body_argument = &call;
    run_grid(barriers);
}

// What another thread of the warp holds.
template <class T> static T from_lane(T value, int lane, bool valid) {
    static_assert(sizeof(T) <= 16, "at most sixteen bytes are exchanged");
    int self = current, warp = current / 32;
    std::memcpy(exchange[self], &value, sizeof(T));
    barrier(warps[warp]);
    T result = value;
    int other = warp * 32 + lane;
    if (valid && lane >= 0 && lane < 32) std::memcpy(&result, exchange[other], sizeof(T));
    barrier(warps[warp]);
    return result;
}

}  // namespace emulator

static inline void __syncthreads() { emulator::barrier(emulator::block); }
static inline void __syncwarp(unsigned = 0) { emulator::barrier(emulator::warps[emulator::current / 32]); }
static inline void __threadfence() {}
template <class T> static T __shfl_xor_sync(unsigned, T value, int mask) {
    int lane = emulator::current % 32;
    return emulator::from_lane(value, lane ^ mask, true);
}
template <class T> static T __shfl_down_sync(unsigned, T value, int delta) {
    int lane = emulator::current % 32;
    return emulator::from_lane(value, lane + delta, lane + delta < 32);
}
template <class T> static T __shfl_sync(unsigned, T value, int lane) {
    return emulator::from_lane(value, lane, true);
}

template <class T> static T atomicAdd(T* at, T value) { T old = *at; *at = old + value; return old; }
template <class T> static T atomicCAS(T* at, T wanted, T value) {
    T old = *at;
    if (old == wanted) *at = value;
    return old;
}

// Arithmetic that is never contracted; the emulator is compiled so that nothing is.
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((std::uint64_t(a) * b) >> 32); }
template <class T> static T __ldg(const T* at) { return *at; }
using std::fma;
