// What every kernel source begins with: types, conversions and indices. It needs no header of the toolkit.
//
// Kernels are declared by KERNEL(name)(parameters). The host emulator of the tests compiles the same text
// with its own meaning of these macros.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#ifndef EMULATOR
#define KERNEL(name) extern "C" __global__ void name
// Kernels whose blocks have at most so many threads, of which at least so many blocks share a processor.
#define KERNEL_BOUNDS(name, threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks) name
#define DEVICE static __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__
#define SHARED __shared__
// The memory that a launch asks for beside what the kernel declares.
#define DYNAMIC_SHARED(T, name) \
    extern __shared__ __align__(16) u8 dynamic_shared[]; \
    T* name = reinterpret_cast<T*>(dynamic_shared)
#define INFINITY_F32 __int_as_float(0x7f800000)
DEVICE u32 bits_of(float x) { return __float_as_uint(x); }
DEVICE float float_of(u32 x) { return __uint_as_float(x); }
DEVICE double double_of(u64 x) { return __longlong_as_double(i64(x)); }
#endif

// Sixteen-bit floats are stored, not computed with.
struct bf16 { u16 bits; };
struct f16 { u16 bits; };

// Numbers passed by value.
template <int N> struct Longs { i64 at[N]; };
template <int N> struct Doubles { double at[N]; };

// The type in which sums of T are kept.
template <class T> struct Accumulator { typedef float type; };
template <> struct Accumulator<double> { typedef double type; };

DEVICE bool is_nan(float x) { return x != x; }
DEVICE bool is_nan(double x) { return x != x; }
template <class A> DEVICE bool is_finite(A x) { return x - x == A(0); }

// ---- To the types that are computed with. -------------------------------------------------------------

DEVICE float f16_to_float(u16 h) {
#ifdef EMULATOR
    u32 sign = u32(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023;
    if (exponent == 31) return float_of(sign | 0x7f800000u | (mantissa << 13));
    if (exponent != 0) return float_of(sign | ((exponent + 112) << 23) | (mantissa << 13));
    float small = float(mantissa) * float_of(0x33800000u);  // 2^-24
    return float_of(bits_of(small) | sign);
#else
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
    return x;
#endif
}

template <class A> DEVICE A widen(float x) { return A(x); }
template <class A> DEVICE A widen(double x) { return A(x); }
template <class A> DEVICE A widen(bf16 x) { return A(float_of(u32(x.bits) << 16)); }
template <class A> DEVICE A widen(f16 x) { return A(f16_to_float(x.bits)); }
template <class A> DEVICE A widen(i64 x) { return A(x); }
template <class A> DEVICE A widen(u8 x) { return A(x); }

// ---- To the types that are stored: to the nearest, ties to even; integers truncate and saturate, NaN
// becomes 0. ---------------------------------------------------------------------------------------------

DEVICE u16 float_to_bf16(float x) {
#ifdef EMULATOR
    u32 bits = bits_of(x);
    if (is_nan(x)) return u16((bits >> 16) | 0x40);
    return u16((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
#else
    u16 h;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
#endif
}

DEVICE u16 float_to_f16(float x) {
#ifdef EMULATOR
    u32 bits = bits_of(x), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000u) return u16(sign | 0x7e00);
    if (magnitude >= 0x477ff000u) return u16(sign | 0x7c00);
    if (magnitude >= 0x38800000u)
        return u16(sign | ((magnitude - 0x38000000u + 0xfff + ((magnitude >> 13) & 1)) >> 13));
    // Below the smallest normal number the steps are 2^-24: adding 1/2 lets f32 arithmetic round.
    float rounded = float_of(magnitude) + 0.5f;
    return u16(sign | (bits_of(rounded) - 0x3f000000u));
#else
    u16 h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
#endif
}

// The neighbouring single whose last bit is set where a double lies between two, so that rounding it
// further rounds the double once.
DEVICE float to_odd(double x) {
    float nearest = float(x);
    double exact = double(nearest);
    u32 bits = bits_of(nearest);
    if (exact == x || (bits & 1) || is_nan(x)) return nearest;
    bool above = (exact < 0 ? -exact : exact) > (x < 0 ? -x : x);
    return float_of(above ? bits - 1 : bits + 1);
}

template <class A> DEVICE i64 to_i64(A x) {
    if (is_nan(x)) return 0;
    if (x >= A(9223372036854775808.0)) return 9223372036854775807LL;
    if (x < A(-9223372036854775808.0)) return -9223372036854775807LL - 1;
    return i64(x);
}

template <class A> DEVICE u8 to_u8(A x) {
    if (!(x > A(0))) return 0;
    return x >= A(255) ? 255 : u8(int(x));
}

template <class T> struct Narrow;
template <> struct Narrow<float> {
    DEVICE float from(float x) { return x; }
    DEVICE float from(double x) { return float(x); }
    DEVICE float from(i64 x) { return float(x); }
    DEVICE float from(u8 x) { return float(x); }
};
template <> struct Narrow<double> {
    DEVICE double from(float x) { return x; }
    DEVICE double from(double x) { return x; }
    DEVICE double from(i64 x) { return double(x); }
    DEVICE double from(u8 x) { return x; }
};
template <> struct Narrow<bf16> {
    DEVICE bf16 from(float x) { return bf16{float_to_bf16(x)}; }
    DEVICE bf16 from(double x) { return bf16{float_to_bf16(to_odd(x))}; }
    DEVICE bf16 from(i64 x) { return from(double(x)); }
    DEVICE bf16 from(u8 x) { return from(float(x)); }
};
template <> struct Narrow<f16> {
    DEVICE f16 from(float x) { return f16{float_to_f16(x)}; }
    DEVICE f16 from(double x) { return f16{float_to_f16(to_odd(x))}; }
    DEVICE f16 from(i64 x) { return from(double(x)); }
    DEVICE f16 from(u8 x) { return from(float(x)); }
};
template <> struct Narrow<i64> {
    DEVICE i64 from(float x) { return to_i64(x); }
    DEVICE i64 from(double x) { return to_i64(x); }
    DEVICE i64 from(i64 x) { return x; }
    DEVICE i64 from(u8 x) { return x; }
};
template <> struct Narrow<u8> {
    DEVICE u8 from(float x) { return to_u8(x); }
    DEVICE u8 from(double x) { return to_u8(x); }
    DEVICE u8 from(i64 x) { return x < 0 ? 0 : x > 255 ? 255 : u8(x); }
    DEVICE u8 from(u8 x) { return x; }
};

// Rounds to the type that is stored.
template <class T, class A> DEVICE T narrow(A x) { return Narrow<T>::from(x); }

// ---- Indices. ------------------------------------------------------------------------------------------

// This thread's number, and the number of all threads of a launch in one dimension.
DEVICE u64 thread_number() { return u64(blockIdx.x) * blockDim.x + threadIdx.x; }
DEVICE u64 thread_count() { return u64(gridDim.x) * blockDim.x; }

// Where the element of a row-major number lies, for sizes and strides of R dimensions.
template <int R> DEVICE i64 position(u64 number, const Longs<R>& sizes, const Longs<R>& strides) {
    i64 at = 0;
    for (int dim = R - 1; dim > 0; dim--) {
        u64 size = u64(sizes.at[dim]), rest = number / size;
        at += i64(number - rest * size) * strides.at[dim];
        number = rest;
    }
    return at + i64(number) * strides.at[0];
}

// Reports a value out of range; the first report stays. The host reads it when it waits for the device.
DEVICE bool in_range(i64 value, i64 limit, u64* fault, u64 launch) {
    if (value >= 0 && value < limit) return true;
    if (atomicCAS(fault, 0ULL, launch) == 0ULL) {
        fault[1] = u64(value);
        fault[2] = u64(limit);
    }
    return false;
}

// The same with indices of type I, which is u32 where everything fits.
template <class I, int R>
DEVICE i64 locate(I number, const Longs<R>& sizes, const Longs<R>& strides) {
    i64 at = 0;
#ifndef EMULATOR
#pragma unroll
#endif
    for (int dim = R - 1; dim > 0; dim--) {
        I size = I(sizes.at[dim]), rest = number / size;
        at += i64(number - rest * size) * strides.at[dim];
        number = rest;
    }
    return at + i64(number) * strides.at[0];
}

// Several elements that are loaded and stored at once.
template <class T, int V> struct alignas(sizeof(T) * V) Pack { T at[V]; };

// ---- Conversions between stored types, by way of the type that holds both. ---------------------------

template <class T> struct Wide { typedef float type; };
template <> struct Wide<double> { typedef double type; };
template <> struct Wide<i64> { typedef i64 type; };
template <> struct Wide<u8> { typedef u8 type; };

template <class D, class S> struct Convert {
    DEVICE D from(S x) { return narrow<D>(widen<typename Wide<S>::type>(x)); }
};
template <class T> struct Convert<T, T> {
    DEVICE T from(T x) { return x; }
};
template <class D, class S> DEVICE D convert(S x) { return Convert<D, S>::from(x); }

// ---- Mathematics that the standard library does not have under one name. ------------------------------

template <class A> DEVICE A maximum(A a, A b) { return is_nan(a) ? a : is_nan(b) ? b : a > b ? a : b; }
template <class A> DEVICE A minimum(A a, A b) { return is_nan(a) ? a : is_nan(b) ? b : a < b ? a : b; }

// The sum of a warp's values, in every one of its threads.
template <class A> DEVICE A warp_sum(A x) {
    for (int m = 16; m > 0; m >>= 1) x += __shfl_xor_sync(0xffffffffu, x, m);
    return x;
}

DEVICE float absolute(float x) { return float_of(bits_of(x) & 0x7fffffffu); }
DEVICE double absolute(double x) { return fabs(x); }

template <class A> DEVICE A sigmoid(A x) {
    // exp of a negative number only, so that neither branch overflows.
    A e = exp(-absolute(x));
    return x < A(0) ? e / (A(1) + e) : A(1) / (A(1) + e);
}

template <class A> DEVICE A softplus(A x) {
    A above = x > A(0) || is_nan(x) ? x : A(0);
    return above + log1p(exp(-absolute(x)));
}

// ---- Images. ---------------------------------------------------------------------------------------------

// Image, channel, row and column.
struct Place { i64 n, c, h, w; };

// The place of a number that counts channels fastest (`last`) or pixels, in images of sizes C, H, W.
DEVICE Place place_of_number(u64 number, bool small, bool last, i64 C, i64 H, i64 W) {
    Place p;
    if (small) {
        u32 i = u32(number), c = u32(C), h = u32(H), w = u32(W), q;
        if (last) { q = i / c; p.c = i - q * c; i = q; q = i / w; p.w = i - q * w; i = q; q = i / h; p.h = i - q * h; p.n = q; }
        else { q = i / w; p.w = i - q * w; i = q; q = i / h; p.h = i - q * h; i = q; q = i / c; p.c = i - q * c; p.n = q; }
        return p;
    }
    u64 i = number, c = u64(C), h = u64(H), w = u64(W);
    if (last) { p.c = i64(i % c); i /= c; p.w = i64(i % w); i /= w; p.h = i64(i % h); p.n = i64(i / h); }
    else { p.w = i64(i % w); i /= w; p.h = i64(i % h); i /= h; p.c = i64(i % c); p.n = i64(i / c); }
    return p;
}

DEVICE i64 at_place(const Place& p, const Longs<4>& strides) {
    return p.n * strides.at[0] + p.c * strides.at[1] + p.h * strides.at[2] + p.w * strides.at[3];
}

// The quotient of numbers that are not negative; 32 bits are faster where they suffice.
DEVICE u64 quotient(u64 a, u64 b, bool small) { return small ? u64(u32(a) / u32(b)) : a / b; }

// The same rounded up; the numerator is not 0 either.
DEVICE i64 quotient_up(i64 a, i64 b, bool small) { return i64(quotient(u64(a - 1), u64(b), small)) + 1; }

// The elements of a window's kernel that lie in the image: from `begin` to below `end`, and where element 0 is.
struct Span { i64 begin, end, start; };

DEVICE Span window_span(i64 output, i64 size, i64 kernel, i64 stride, i64 padding, i64 dilation, bool small) {
    Span s;
    s.start = output * stride - padding;
    s.begin = s.start < 0 ? quotient_up(-s.start, dilation, small) : 0;
    i64 end = s.start < size ? quotient_up(size - s.start, dilation, small) : 0;
    s.end = end < kernel ? end : kernel;
    return s;
}
