// Convolution and its gradients as products of matrices that are never laid out. T is the type of images and
// weights, D that of a weight gradient.
//
// `image` is C, H, W, O, OH, OW with channels and outputs counted a group; `kernel` is KH, KW; `window` is
// stride, padding, dilation, each down and across. Strides are those of image or output, channel, row, column.

struct Geometry {
    i64 C, H, W, O, OH, OW, KH, KW, sh, sw, ph, pw, dh, dw;
    bool small;
};

DEVICE Geometry geometry(const Longs<6>& image, const Longs<2>& kernel, const Longs<6>& window, u64 pixels) {
    Geometry g{image.at[0], image.at[1], image.at[2], image.at[3], image.at[4], image.at[5], kernel.at[0],
               kernel.at[1], window.at[0], window.at[1], window.at[2], window.at[3], window.at[4], window.at[5], false};
    g.small = pixels <= 0x7fffffffULL && u64(g.C) * g.KH * g.KW <= 0x7fffffffULL && u64(g.O) * g.KH * g.KW <= 0x7fffffffULL;
    return g;
}

struct Pixel { i64 n, h, w; };

DEVICE Pixel pixel_of(u64 number, i64 H, i64 W, bool small) {
    u64 row = quotient(number, u64(W), small), image = quotient(row, u64(H), small);
    return Pixel{i64(image), i64(row - image * u64(H)), i64(number - row * u64(W))};
}

// A kernel element and a channel, channels counted fastest.
struct Tap { i64 k, l, c; };

DEVICE Tap tap_of(u64 number, i64 channels, i64 KW, bool small) {
    u64 element = quotient(number, u64(channels), small), k = quotient(element, u64(KW), small);
    return Tap{i64(k), i64(element - k * u64(KW)), i64(number - element * u64(channels))};
}

// The input under a kernel element of an output.
DEVICE A input_at(const T* x, const Longs<4>& s, const Geometry& g, const Pixel& p, const Tap& t) {
    i64 row = p.h * g.sh - g.ph + t.k * g.dh, column = p.w * g.sw - g.pw + t.l * g.dw;
    if (row < 0 || row >= g.H || column < 0 || column >= g.W) return A(0);
    return widen<A>(x[p.n * s.at[0] + t.c * s.at[1] + row * s.at[2] + column * s.at[3]]);
}

DEVICE i64 weight_at(const Longs<4>& s, i64 o, const Tap& t) {
    return o * s.at[0] + t.c * s.at[1] + t.k * s.at[2] + t.l * s.at[3];
}

struct Windows {
    const T* x;
    Longs<4> strides;
    Geometry g;
    // A row is an output pixel, a column a tap.
    DEVICE_MEMBER A at(u64 pixel, u64 tap) const {
        return input_at(x, strides, g, pixel_of(pixel, g.OH, g.OW, g.small), tap_of(tap, g.C, g.KW, g.small));
    }
};

struct Weights {
    const T* w;
    Longs<4> strides;
    Geometry g;
    DEVICE_MEMBER A at(u64 tap, u64 output) const {
        return widen<A>(w[weight_at(strides, i64(output), tap_of(tap, g.C, g.KW, g.small))]);
    }
};

struct Outputs {
    T* y;
    const T* bias;
    const T* residual;
    i64 bias_stride;
    Longs<4> strides, residual_strides;
    Geometry g;
    int relu;
    DEVICE_MEMBER void put(u64 pixel, u64 output, A sum) const {
        Pixel p = pixel_of(pixel, g.OH, g.OW, g.small);
        i64 o = i64(output);
        if (bias) sum += widen<A>(bias[o * bias_stride]);
        if (residual)
            sum += widen<A>(residual[p.n * residual_strides.at[0] + o * residual_strides.at[1] + p.h * residual_strides.at[2] +
                                     p.w * residual_strides.at[3]]);
        if (relu) sum = sum > A(0) || is_nan(sum) ? sum : A(0);
        y[p.n * strides.at[0] + o * strides.at[1] + p.h * strides.at[2] + p.w * strides.at[3]] = narrow<T>(sum);
    }
};

KERNEL(conv2d)(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ bias,
               const T* __restrict__ residual, T* __restrict__ y, u64 pixels, Longs<6> image, Longs<2> kernel,
               Longs<6> window, Longs<4> of_x, Longs<4> of_w, i64 of_bias, Longs<4> of_residual, Longs<4> of_y, int relu) {
    Geometry g = geometry(image, kernel, window, pixels);
    u64 N = u64(g.O), K = u64(g.C) * g.KH * g.KW;
    Tile t = tile_of_block(pixels, N);
    i64 group = i64(t.rest);
    Windows left{x + group * g.C * of_x.at[1], of_x, g};
    Weights right{w + group * g.O * of_w.at[0], of_w, g};
    Sums sums;
    multiply(left, right, t.m0, t.n0, pixels, N, 0, K, of_x.at[1] == 1, true, sums);
    Outputs out{y + group * g.O * of_y.at[1], bias ? bias + group * g.O * of_bias : bias,
                residual ? residual + group * g.O * of_residual.at[1] : residual, of_bias, of_y, of_residual, g, relu};
    for_each_result(t.m0, t.n0, pixels, N, sums, out);
}

// The gradients that reach an input pixel: a row is an input pixel, a column an output's tap.
struct Reaching {
    const T* gy;
    Longs<4> strides;
    Geometry g;
    DEVICE_MEMBER A at(u64 pixel, u64 number) const {
        Pixel p = pixel_of(pixel, g.H, g.W, g.small);
        Tap t = tap_of(number, g.O, g.KW, g.small);
        i64 row = p.h + g.ph - t.k * g.dh, column = p.w + g.pw - t.l * g.dw;
        if (row < 0 || column < 0 || row % g.sh != 0 || column % g.sw != 0) return A(0);
        row /= g.sh;
        column /= g.sw;
        if (row >= g.OH || column >= g.OW) return A(0);
        return widen<A>(gy[p.n * strides.at[0] + t.c * strides.at[1] + row * strides.at[2] + column * strides.at[3]]);
    }
};

struct WeightsBack {
    const T* w;
    Longs<4> strides;
    Geometry g;
    DEVICE_MEMBER A at(u64 number, u64 channel) const {
        Tap t = tap_of(number, g.O, g.KW, g.small);
        Tap of_weight{t.k, t.l, i64(channel)};
        return widen<A>(w[weight_at(strides, t.c, of_weight)]);
    }
};

struct InputGrads {
    T* gx;
    Longs<4> strides;
    Geometry g;
    DEVICE_MEMBER void put(u64 pixel, u64 channel, A sum) const {
        Pixel p = pixel_of(pixel, g.H, g.W, g.small);
        gx[p.n * strides.at[0] + i64(channel) * strides.at[1] + p.h * strides.at[2] + p.w * strides.at[3]] = narrow<T>(sum);
    }
};

KERNEL(conv2d_input_grad)(const T* __restrict__ gy, const T* __restrict__ w, T* __restrict__ gx, u64 pixels,
                          Longs<6> image, Longs<2> kernel, Longs<6> window, Longs<4> of_gy, Longs<4> of_w, Longs<4> of_gx) {
    Geometry g = geometry(image, kernel, window, pixels);
    u64 N = u64(g.C), K = u64(g.O) * g.KH * g.KW;
    Tile t = tile_of_block(pixels, N);
    i64 group = i64(t.rest);
    Reaching left{gy + group * g.O * of_gy.at[1], of_gy, g};
    WeightsBack right{w + group * g.O * of_w.at[0], of_w, g};
    Sums sums;
    multiply(left, right, t.m0, t.n0, pixels, N, 0, K, of_gy.at[1] == 1, false, sums);
    for_each_result(t.m0, t.n0, pixels, N, sums, InputGrads{gx + group * g.C * of_gx.at[1], of_gx, g});
}

// The gradients of an output: a row is an output, a column a pixel.
struct OutputGrads {
    const T* gy;
    Longs<4> strides;
    Geometry g;
    DEVICE_MEMBER A at(u64 output, u64 pixel) const {
        Pixel p = pixel_of(pixel, g.OH, g.OW, g.small);
        return widen<A>(gy[p.n * strides.at[0] + i64(output) * strides.at[1] + p.h * strides.at[2] + p.w * strides.at[3]]);
    }
};

struct WeightGrads {
    D* gw;
    A* part;
    u64 taps;
    Longs<4> strides;
    Geometry g;
    DEVICE_MEMBER void put(u64 output, u64 tap, A sum) const {
        if (part) part[output * taps + tap] = sum;
        else gw[weight_at(strides, i64(output), tap_of(tap, g.C, g.KW, g.small))] = narrow<D>(sum);
    }
};

// The pixels are cut into `parts`; with more than one the sums go to `partial`, part after part, each group
// after group.
KERNEL(conv2d_weight_grad)(const T* __restrict__ x, const T* __restrict__ gy, D* __restrict__ gw,
                           A* __restrict__ partial, u64 pixels, u64 parts, u64 groups, Longs<6> image, Longs<2> kernel,
                           Longs<6> window, Longs<4> of_x, Longs<4> of_gy, Longs<4> of_gw) {
    Geometry g = geometry(image, kernel, window, pixels);
    u64 M = u64(g.O), N = u64(g.C) * g.KH * g.KW;
    Tile t = tile_of_block(M, N);
    u64 part = t.rest / groups, length = (pixels + parts - 1) / parts, begin = part * length;
    u64 end = begin + length < pixels ? begin + length : pixels;
    i64 group = i64(t.rest % groups);
    OutputGrads left{gy + group * g.O * of_gy.at[1], of_gy, g};
    Windows right{x + group * g.C * of_x.at[1], of_x, g};
    Sums sums;
    multiply(left, right, t.m0, t.n0, M, N, begin, end, of_gy.at[1] != 1, of_x.at[1] != 1, sums);
    A* to = parts > 1 ? partial + (part * groups + u64(group)) * M * N : (A*)0;
    for_each_result(t.m0, t.n0, M, N, sums, WeightGrads{gw + group * g.O * of_gw.at[0], to, N, of_gw, g});
}

KERNEL(join_weight_grads)(const A* __restrict__ partial, D* __restrict__ gw, u64 count, u64 parts, Longs<6> image,
                          Longs<2> kernel, Longs<4> of_gw) {
    u64 taps = u64(image.at[0]) * kernel.at[0] * kernel.at[1];
    bool small = count <= 0x7fffffffULL;
    for (u64 i = thread_number(); i < count; i += thread_count()) {
        A sum = A(0);
        for (u64 part = 0; part < parts; part++) sum += partial[part * count + i];
        u64 output = quotient(i, taps, small);
        Tap t = tap_of(i - output * taps, image.at[0], kernel.at[1], small);
        gw[weight_at(of_gw, i64(output), t)] = narrow<D>(sum);
    }
}
