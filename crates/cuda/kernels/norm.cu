// Batch norm: moments, normalisation and its gradient. T is the type of images, A that of statistics and
// parameters, V channels taken at once.
//
// Two ways of going through images. Where channels are adjacent (`_rows`), a block takes `blockDim.x` packs of
// channels and a run of pixels, its rows of threads take turns at the pixels. Elsewhere (`_planes`), a block
// takes one channel and a run of its elements. Both leave a part of every sum for each run, those of a channel
// side by side; `_parts` kernels join them in order, a block a channel. Runs are cut by the size of the problem alone.

typedef Pack<T, V> Elements;

DEVICE Elements load(const T* at) { return *reinterpret_cast<const Elements*>(at); }
DEVICE void save(T* at, const Elements& e) { *reinterpret_cast<Elements*>(at) = e; }

// Pixels whose loads a thread begins before it uses any of them. Loops that load one at a time wait for memory most of
// the time, and compilers do not turn one into the other where the end is tested between.
const int AHEAD = 4;

// Calls `take(slot, pixel)` for each pixel of a thread's share, AHEAD at a time, after `fetch(slot, pixel)` for all of them.
template <class Fetch, class Take>
DEVICE void go_along(u64 pixel, u64 end, u64 step, const Fetch& fetch, const Take& take) {
    for (; pixel + (AHEAD - 1) * step < end; pixel += AHEAD * step) {
#ifndef EMULATOR
#pragma unroll
#endif
        for (int slot = 0; slot < AHEAD; slot++) fetch(slot, pixel + slot * step);
#ifndef EMULATOR
#pragma unroll
#endif
        for (int slot = 0; slot < AHEAD; slot++) take(slot, pixel + slot * step);
    }
    for (; pixel < end; pixel += step) {
        fetch(0, pixel);
        take(0, pixel);
    }
}

// The number, mean and sum of squared deviations of some values.
struct Moments { A count, mean, squares; };

// Those of both (Chan, Golub, LeVeque 1979).
DEVICE Moments join(const Moments& a, const Moments& b) {
    if (b.count == A(0)) return a;
    if (a.count == A(0)) return b;
    A count = a.count + b.count, apart = b.mean - a.mean, share = b.count / count;
    // Beside an infinite mean another is nothing, and the difference may be what is no number.
    A mean = is_finite(apart) ? a.mean + apart * share : a.mean + b.mean;
    return Moments{count, mean, a.squares + b.squares + apart * apart * a.count * share};
}

// Differences are taken from a value of a thread's own; one that is infinite has none from itself.
DEVICE A shift_of(A value) { return is_finite(value) ? value : A(0); }

// Sums of differences from a value that is near the mean lose no digits.
DEVICE Moments from_shifted(A count, A shift, A sum, A squares) {
    if (count == A(0)) return Moments{A(0), A(0), A(0)};
    A mean = sum / count;
    A rest = squares - sum * mean;
    return Moments{count, shift + mean, rest > A(0) || is_nan(rest) ? rest : A(0)};
}

KERNEL(moments_rows)(const T* __restrict__ x, A* __restrict__ parts, i64 count_of_parts, i64 packs, u64 pixels, u64 run,
                     i64 pitch) {
    SHARED Moments shared[256 * V];
    i64 pack = i64(blockIdx.x % ((packs + blockDim.x - 1) / blockDim.x)) * blockDim.x + threadIdx.x;
    u64 part = blockIdx.x / ((packs + blockDim.x - 1) / blockDim.x);
    u64 begin = part * run, end = begin + run < pixels ? begin + run : pixels;
    bool active = pack < packs;
    A shift[V], sum[V], squares[V];
    u32 count = 0;
    for (int v = 0; v < V; v++) shift[v] = sum[v] = squares[v] = A(0);
    if (active) {
        const T* column = x + pack * V;
        u64 pixel = begin + threadIdx.y;
        if (pixel < end) {
            Elements e = load(column + i64(pixel) * pitch);
            for (int v = 0; v < V; v++) shift[v] = shift_of(widen<A>(e.at[v]));
        }
        Elements e[AHEAD];
        go_along(
            pixel, end, blockDim.y, [&](int slot, u64 at) { e[slot] = load(column + i64(at) * pitch); },
            [&](int slot, u64) {
                for (int v = 0; v < V; v++) {
                    A d = widen<A>(e[slot].at[v]) - shift[v];
                    sum[v] += d;
                    squares[v] += d * d;
                }
                count++;
            });
    }
    int self = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
    for (int v = 0; v < V; v++) shared[v * threads + self] = from_shifted(A(count), shift[v], sum[v], squares[v]);
    __syncthreads();
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        if (int(threadIdx.y) < half)
            for (int v = 0; v < V; v++) {
                int at = v * threads + self;
                shared[at] = join(shared[at], shared[at + half * blockDim.x]);
            }
        __syncthreads();
    }
    if (threadIdx.y == 0 && active)
        for (int v = 0; v < V; v++) {
            Moments m = shared[v * threads + self];
            A* to = parts + ((pack * V + v) * count_of_parts + i64(part)) * 3;
            to[0] = m.count;
            to[1] = m.mean;
            to[2] = m.squares;
        }
}

// Where the element of a number lies in a channel, numbers going along rows of pixels.
DEVICE i64 in_channel(u64 number, bool small, i64 H, i64 W, const Longs<4>& strides) {
    if (small) {
        u32 i = u32(number), w = u32(W), h = u32(H), q = i / w, n = q / h;
        return i64(n) * strides.at[0] + i64(q - n * h) * strides.at[2] + i64(i - q * w) * strides.at[3];
    }
    u64 q = number / u64(W), n = q / u64(H);
    return i64(n) * strides.at[0] + i64(q - n * u64(H)) * strides.at[2] + i64(number - q * u64(W)) * strides.at[3];
}

KERNEL(moments_planes)(const T* __restrict__ x, A* __restrict__ parts, i64 count_of_parts, i64 C, u64 pixels, u64 run,
                       i64 H, i64 W, Longs<4> strides) {
    SHARED Moments shared[256];
    i64 channel = i64(blockIdx.x % C);
    u64 part = blockIdx.x / C, begin = part * run, end = begin + run < pixels ? begin + run : pixels;
    bool small = pixels <= 0x7fffffffULL;
    const T* plane = x + channel * strides.at[1];
    A shift = A(0), sum = A(0), squares = A(0);
    u32 count = 0;
    u64 pixel = begin + threadIdx.x;
    if (pixel < end) shift = shift_of(widen<A>(plane[in_channel(pixel, small, H, W, strides)]));
    for (; pixel < end; pixel += blockDim.x) {
        A d = widen<A>(plane[in_channel(pixel, small, H, W, strides)]) - shift;
        sum += d;
        squares += d * d;
        count++;
    }
    shared[threadIdx.x] = from_shifted(A(count), shift, sum, squares);
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (int(threadIdx.x) < half) shared[threadIdx.x] = join(shared[threadIdx.x], shared[threadIdx.x + half]);
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        A* to = parts + (channel * count_of_parts + i64(part)) * 3;
        to[0] = shared[0].count;
        to[1] = shared[0].mean;
        to[2] = shared[0].squares;
    }
}

// The number of a thread in its block, and how many there are.
DEVICE i64 in_block() { return i64(threadIdx.y) * blockDim.x + threadIdx.x; }
DEVICE i64 of_block() { return i64(blockDim.x) * blockDim.y; }

KERNEL(moments_parts)(const A* __restrict__ parts, A* __restrict__ mean, A* __restrict__ var, i64 count,
                      i64 mean_stride, i64 var_stride) {
    SHARED Moments rows[8];
    i64 channel = blockIdx.x;
    Moments m{A(0), A(0), A(0)};
    for (i64 part = in_block(); part < count; part += of_block()) {
        const A* from = parts + (channel * count + part) * 3;
        m = join(m, Moments{from[0], from[1], from[2]});
    }
    for (int half = 16; half > 0; half /= 2) {
        Moments other{__shfl_down_sync(0xffffffffu, m.count, half), __shfl_down_sync(0xffffffffu, m.mean, half),
                      __shfl_down_sync(0xffffffffu, m.squares, half)};
        m = join(m, other);
    }
    if (threadIdx.x == 0) rows[threadIdx.y] = m;
    __syncthreads();
    if (in_block() != 0) return;
    for (int row = 1; row < int(blockDim.y); row++) m = join(m, rows[row]);
    mean[channel * mean_stride] = m.mean;
    var[channel * var_stride] = m.squares / m.count;
}

// Statistics and parameters with their strides; parameters may be absent.
struct Channel { A mean, scale, weight, bias; };

DEVICE Channel channel_of(i64 c, const A* mean, const A* var, const A* weight, const A* bias, const Longs<4>& strides,
                          double eps) {
    Channel k;
    k.mean = mean[c * strides.at[0]];
    k.scale = A(1) / sqrt(var[c * strides.at[1]] + A(eps));
    k.weight = weight ? weight[c * strides.at[2]] : A(1);
    k.bias = bias ? bias[c * strides.at[3]] : A(0);
    return k;
}

DEVICE A normal(A x, const Channel& k) { return (x - k.mean) * (k.scale * k.weight) + k.bias; }

DEVICE A rectify(A x) { return x > A(0) || is_nan(x) ? x : A(0); }

KERNEL(norm_rows)(const T* __restrict__ x, const T* __restrict__ residual, T* __restrict__ y, const A* __restrict__ mean,
                  const A* __restrict__ var, const A* __restrict__ weight, const A* __restrict__ bias,
                  Longs<4> strides, double eps, int relu, i64 packs, u64 pixels, u64 run, i64 x_pitch,
                  i64 residual_pitch, i64 y_pitch) {
    i64 groups = (packs + blockDim.x - 1) / blockDim.x;
    i64 pack = i64(blockIdx.x % groups) * blockDim.x + threadIdx.x;
    if (pack >= packs) return;
    u64 begin = blockIdx.x / groups * run, end = begin + run < pixels ? begin + run : pixels;
    Channel k[V];
    for (int v = 0; v < V; v++) k[v] = channel_of(pack * V + v, mean, var, weight, bias, strides, eps);
    Elements e[AHEAD], add[AHEAD];
    go_along(
        begin + threadIdx.y, end, blockDim.y,
        [&](int slot, u64 pixel) {
            e[slot] = load(x + i64(pixel) * x_pitch + pack * V);
            if (residual) add[slot] = load(residual + i64(pixel) * residual_pitch + pack * V);
        },
        [&](int slot, u64 pixel) {
            Elements out;
            for (int v = 0; v < V; v++) {
                A value = normal(widen<A>(e[slot].at[v]), k[v]);
                if (residual) value += widen<A>(add[slot].at[v]);
                out.at[v] = narrow<T>(relu ? rectify(value) : value);
            }
            save(y + i64(pixel) * y_pitch + pack * V, out);
        });
}

KERNEL(norm_planes)(const T* __restrict__ x, const T* __restrict__ residual, T* __restrict__ y,
                    const A* __restrict__ mean, const A* __restrict__ var, const A* __restrict__ weight,
                    const A* __restrict__ bias, Longs<4> strides, double eps, int relu, u64 count, i64 C, i64 H, i64 W,
                    Longs<4> from, Longs<4> residual_strides, Longs<4> to, int last) {
    bool small = count <= 0x7fffffffULL;
    for (u64 i = thread_number(); i < count; i += thread_count()) {
        Place p = place_of_number(i, small, last, C, H, W);
        Channel k = channel_of(p.c, mean, var, weight, bias, strides, eps);
        A value = normal(widen<A>(x[at_place(p, from)]), k);
        if (residual) value += widen<A>(residual[at_place(p, residual_strides)]);
        y[at_place(p, to)] = narrow<T>(relu ? rectify(value) : value);
    }
}

// The gradient that passes the ReLU of an output.
DEVICE A passing(T gy, T y) { return widen<A>(y) <= A(0) ? A(0) : widen<A>(gy); }

KERNEL(sums_rows)(const T* __restrict__ gy, const T* __restrict__ x, const T* __restrict__ y,
                  const A* __restrict__ mean, const A* __restrict__ var, A* __restrict__ parts, i64 count_of_parts,
                  Longs<4> strides, double eps, i64 packs, u64 pixels, u64 run, i64 gy_pitch, i64 x_pitch, i64 y_pitch) {
    SHARED A shared[256 * V * 2];
    i64 groups = (packs + blockDim.x - 1) / blockDim.x;
    i64 pack = i64(blockIdx.x % groups) * blockDim.x + threadIdx.x;
    u64 part = blockIdx.x / groups, begin = part * run, end = begin + run < pixels ? begin + run : pixels;
    bool active = pack < packs;
    A gb[V], gw[V];
    for (int v = 0; v < V; v++) gb[v] = gw[v] = A(0);
    if (active) {
        A centre[V], scale[V];
        for (int v = 0; v < V; v++) {
            i64 c = pack * V + v;
            centre[v] = mean[c * strides.at[0]];
            scale[v] = A(1) / sqrt(var[c * strides.at[1]] + A(eps));
        }
        Elements g[AHEAD], e[AHEAD], out[AHEAD];
        go_along(
            begin + threadIdx.y, end, blockDim.y,
            [&](int slot, u64 pixel) {
                g[slot] = load(gy + i64(pixel) * gy_pitch + pack * V);
                e[slot] = load(x + i64(pixel) * x_pitch + pack * V);
                if (y) out[slot] = load(y + i64(pixel) * y_pitch + pack * V);
            },
            [&](int slot, u64) {
                for (int v = 0; v < V; v++) {
                    A grad = y ? passing(g[slot].at[v], out[slot].at[v]) : widen<A>(g[slot].at[v]);
                    gb[v] += grad;
                    gw[v] += grad * ((widen<A>(e[slot].at[v]) - centre[v]) * scale[v]);
                }
            });
    }
    int self = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
    for (int v = 0; v < V; v++) {
        shared[(2 * v) * threads + self] = gb[v];
        shared[(2 * v + 1) * threads + self] = gw[v];
    }
    __syncthreads();
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        if (int(threadIdx.y) < half)
            for (int v = 0; v < 2 * V; v++) shared[v * threads + self] += shared[v * threads + self + half * blockDim.x];
        __syncthreads();
    }
    if (threadIdx.y == 0 && active)
        for (int v = 0; v < V; v++) {
            A* to = parts + ((pack * V + v) * count_of_parts + i64(part)) * 2;
            to[0] = shared[(2 * v) * threads + self];
            to[1] = shared[(2 * v + 1) * threads + self];
        }
}

KERNEL(sums_planes)(const T* __restrict__ gy, const T* __restrict__ x, const T* __restrict__ y,
                    const A* __restrict__ mean, const A* __restrict__ var, A* __restrict__ parts, i64 count_of_parts,
                    Longs<4> strides, double eps, i64 C, u64 pixels, u64 run, i64 H, i64 W, Longs<4> gy_strides, Longs<4> x_strides,
                    Longs<4> y_strides) {
    SHARED A shared[512];
    i64 c = i64(blockIdx.x % C);
    u64 part = blockIdx.x / C, begin = part * run, end = begin + run < pixels ? begin + run : pixels;
    bool small = pixels <= 0x7fffffffULL;
    A centre = mean[c * strides.at[0]], scale = A(1) / sqrt(var[c * strides.at[1]] + A(eps)), gb = A(0), gw = A(0);
    for (u64 pixel = begin + threadIdx.x; pixel < end; pixel += blockDim.x) {
        T g = gy[c * gy_strides.at[1] + in_channel(pixel, small, H, W, gy_strides)];
        A grad = y ? passing(g, y[c * y_strides.at[1] + in_channel(pixel, small, H, W, y_strides)]) : widen<A>(g);
        A value = widen<A>(x[c * x_strides.at[1] + in_channel(pixel, small, H, W, x_strides)]);
        gb += grad;
        gw += grad * ((value - centre) * scale);
    }
    shared[threadIdx.x] = gb;
    shared[256 + threadIdx.x] = gw;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (int(threadIdx.x) < half) {
            shared[threadIdx.x] += shared[threadIdx.x + half];
            shared[256 + threadIdx.x] += shared[256 + threadIdx.x + half];
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        parts[(c * count_of_parts + i64(part)) * 2] = shared[0];
        parts[(c * count_of_parts + i64(part)) * 2 + 1] = shared[256];
    }
}

KERNEL(sums_parts)(const A* __restrict__ parts, A* __restrict__ gw, A* __restrict__ gb, i64 count, i64 gw_stride,
                   i64 gb_stride) {
    SHARED A rows[16];
    i64 c = blockIdx.x;
    A bias = A(0), weight = A(0);
    for (i64 part = in_block(); part < count; part += of_block()) {
        bias += parts[(c * count + part) * 2];
        weight += parts[(c * count + part) * 2 + 1];
    }
    bias = warp_sum(bias);
    weight = warp_sum(weight);
    if (threadIdx.x == 0) {
        rows[threadIdx.y] = bias;
        rows[8 + threadIdx.y] = weight;
    }
    __syncthreads();
    if (in_block() != 0) return;
    for (int row = 1; row < int(blockDim.y); row++) {
        bias += rows[row];
        weight += rows[8 + row];
    }
    gb[c * gb_stride] = bias;
    gw[c * gw_stride] = weight;
}

// gx = w r (gy - (gb + xhat gw) / M) as gy * a + (x - mean) * b + d.
struct Slope { A mean, a, b, d; };

DEVICE Slope slope_of(i64 c, const A* mean, const A* var, const A* weight, const A* gw, const A* gb,
                      const Longs<5>& strides, double eps, A count) {
    A r = A(1) / sqrt(var[c * strides.at[1]] + A(eps)), w = weight ? weight[c * strides.at[2]] : A(1);
    Slope s;
    s.mean = mean[c * strides.at[0]];
    s.a = w * r;
    s.b = -s.a * r * (gw[c * strides.at[3]] / count);
    s.d = -s.a * (gb[c * strides.at[4]] / count);
    return s;
}

KERNEL(norm_grad_rows)(const T* __restrict__ gy, const T* __restrict__ x, const T* __restrict__ y, T* __restrict__ gx,
                       T* __restrict__ passed, const A* __restrict__ mean, const A* __restrict__ var,
                       const A* __restrict__ weight, const A* __restrict__ gw, const A* __restrict__ gb,
                       Longs<5> strides, double eps, i64 packs, u64 pixels, u64 run, i64 gy_pitch, i64 x_pitch,
                       i64 y_pitch, i64 gx_pitch, i64 passed_pitch) {
    i64 groups = (packs + blockDim.x - 1) / blockDim.x;
    i64 pack = i64(blockIdx.x % groups) * blockDim.x + threadIdx.x;
    if (pack >= packs) return;
    u64 begin = blockIdx.x / groups * run, end = begin + run < pixels ? begin + run : pixels;
    Slope s[V];
    for (int v = 0; v < V; v++) s[v] = slope_of(pack * V + v, mean, var, weight, gw, gb, strides, eps, A(pixels));
    Elements g[AHEAD], e[AHEAD], out[AHEAD];
    go_along(
        begin + threadIdx.y, end, blockDim.y,
        [&](int slot, u64 pixel) {
            g[slot] = load(gy + i64(pixel) * gy_pitch + pack * V);
            e[slot] = load(x + i64(pixel) * x_pitch + pack * V);
            if (y) out[slot] = load(y + i64(pixel) * y_pitch + pack * V);
        },
        [&](int slot, u64 pixel) {
            Elements to, masked;
            for (int v = 0; v < V; v++) {
                A grad = y ? passing(g[slot].at[v], out[slot].at[v]) : widen<A>(g[slot].at[v]);
                to.at[v] = narrow<T>(grad * s[v].a + ((widen<A>(e[slot].at[v]) - s[v].mean) * s[v].b + s[v].d));
                masked.at[v] = narrow<T>(grad);
            }
            save(gx + i64(pixel) * gx_pitch + pack * V, to);
            if (passed) save(passed + i64(pixel) * passed_pitch + pack * V, masked);
        });
}

KERNEL(norm_grad_planes)(const T* __restrict__ gy, const T* __restrict__ x, const T* __restrict__ y, T* __restrict__ gx,
                         T* __restrict__ passed, const A* __restrict__ mean, const A* __restrict__ var,
                         const A* __restrict__ weight, const A* __restrict__ gw, const A* __restrict__ gb,
                         Longs<5> strides, double eps, u64 count, u64 pixels, i64 C, i64 H, i64 W, Longs<4> gy_strides,
                         Longs<4> x_strides, Longs<4> y_strides, Longs<4> gx_strides, Longs<4> passed_strides,
                         int last) {
    bool small = count <= 0x7fffffffULL;
    for (u64 i = thread_number(); i < count; i += thread_count()) {
        Place p = place_of_number(i, small, last, C, H, W);
        Slope s = slope_of(p.c, mean, var, weight, gw, gb, strides, eps, A(pixels));
        T g = gy[at_place(p, gy_strides)];
        A grad = y ? passing(g, y[at_place(p, y_strides)]) : widen<A>(g);
        A value = widen<A>(x[at_place(p, x_strides)]);
        gx[at_place(p, gx_strides)] = narrow<T>(grad * s.a + ((value - s.mean) * s.b + s.d));
        if (passed) passed[at_place(p, passed_strides)] = narrow<T>(grad);
    }
}
