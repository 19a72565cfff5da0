// Pooling. T is the type of the elements, A what is computed in, V channels taken at once: more than one only
// where every operand's channels are adjacent.
//
// `sizes` are C, H, W, OH, OW with C counted in packs; `window` is kernel, stride, padding, dilation, each
// down and across.

typedef Pack<T, V> Elements;

DEVICE Elements load(const T* at) { return *reinterpret_cast<const Elements*>(at); }
DEVICE void save(T* at, const Elements& e) { *reinterpret_cast<Elements*>(at) = e; }

// Whether 32 bits hold every number of a window and of the elements.
DEVICE bool is_small(const Longs<8>& window, u64 count) {
    u64 all = count;
    for (int i = 0; i < 8; i++) all |= u64(window.at[i]);
    return all <= 0x3fffffffULL;
}

DEVICE Span down(const Longs<8>& window, i64 output, i64 size, bool small) {
    return window_span(output, size, window.at[0], window.at[2], window.at[4], window.at[6], small);
}
DEVICE Span across(const Longs<8>& window, i64 output, i64 size, bool small) {
    return window_span(output, size, window.at[1], window.at[3], window.at[5], window.at[7], small);
}

// The windows along one axis that reach a place of the padded image: from `first` to `last`.
struct Reached { i64 first, last; };

DEVICE Reached windows_over(i64 place, i64 reach, i64 stride, i64 outputs, bool small) {
    Reached r;
    r.first = place > reach ? quotient_up(place - reach, stride, small) : 0;
    r.last = i64(quotient(u64(place), u64(stride), small));
    if (r.last >= outputs) r.last = outputs - 1;
    return r;
}

KERNEL(max_pool2d)(const T* __restrict__ x, T* __restrict__ y, i64* __restrict__ index, u64 count, Longs<5> sizes,
                   Longs<8> window, Longs<4> from, Longs<4> to, Longs<4> index_to, int last) {
    i64 C = sizes.at[0], H = sizes.at[1], W = sizes.at[2], OH = sizes.at[3], OW = sizes.at[4];
    bool small = is_small(window, count);
    for (u64 i = thread_number(); i < count; i += thread_count()) {
        Place p = place_of_number(i, small, last, C, OH, OW);
        Span rows = down(window, p.h, H, small), columns = across(window, p.w, W, small);
        const T* plane = x + p.n * from.at[0] + p.c * from.at[1] * V;
        A best[V];
        i64 at[V];
        bool first = true;
        for (i64 k = rows.begin; k < rows.end; k++) {
            i64 row = rows.start + k * window.at[6];
            for (i64 l = columns.begin; l < columns.end; l++) {
                i64 column = columns.start + l * window.at[7];
                Elements e = load(plane + row * from.at[2] + column * from.at[3]);
                for (int v = 0; v < V; v++) {
                    A value = widen<A>(e.at[v]);
                    if (first || value > best[v] || (is_nan(value) && !is_nan(best[v]))) {
                        best[v] = value;
                        at[v] = row * W + column;
                    }
                }
                first = false;
            }
        }
        Elements out;
        for (int v = 0; v < V; v++) out.at[v] = narrow<T>(best[v]);
        save(y + p.n * to.at[0] + p.c * to.at[1] * V + p.h * to.at[2] + p.w * to.at[3], out);
        i64* where = index + p.n * index_to.at[0] + p.c * index_to.at[1] * V + p.h * index_to.at[2] + p.w * index_to.at[3];
        for (int v = 0; v < V; v++) where[v * index_to.at[1]] = at[v];
    }
}

// Each pixel of the input takes the gradients of the windows that cover it and name it.
KERNEL(max_pool2d_grad)(const T* __restrict__ gy, const i64* __restrict__ index, T* __restrict__ gx, u64 count,
                        Longs<5> sizes, Longs<8> window, Longs<4> gy_strides, Longs<4> index_strides, Longs<4> to,
                        int last) {
    i64 C = sizes.at[0], H = sizes.at[1], W = sizes.at[2], OH = sizes.at[3], OW = sizes.at[4];
    bool small = is_small(window, count);
    for (u64 i = thread_number(); i < count; i += thread_count()) {
        Place p = place_of_number(i, small, last, C, H, W);
        i64 here = p.h * W + p.w;
        // Windows whose first to last element lie around the pixel; dilated ones may pass it by.
        i64 reach_down = (window.at[0] - 1) * window.at[6], reach_across = (window.at[1] - 1) * window.at[7];
        Reached rows = windows_over(p.h + window.at[4], reach_down, window.at[2], OH, small);
        Reached columns = windows_over(p.w + window.at[5], reach_across, window.at[3], OW, small);
        A sum[V];
        for (int v = 0; v < V; v++) sum[v] = A(0);
        const T* grads = gy + p.n * gy_strides.at[0] + p.c * gy_strides.at[1] * V;
        const i64* places = index + p.n * index_strides.at[0] + p.c * index_strides.at[1] * V;
        for (i64 oi = rows.first; oi <= rows.last; oi++)
            for (i64 oj = columns.first; oj <= columns.last; oj++) {
                Elements g = load(grads + oi * gy_strides.at[2] + oj * gy_strides.at[3]);
                const i64* named = places + oi * index_strides.at[2] + oj * index_strides.at[3];
                for (int v = 0; v < V; v++)
                    if (named[v * index_strides.at[1]] == here) sum[v] += widen<A>(g.at[v]);
            }
        Elements out;
        for (int v = 0; v < V; v++) out.at[v] = narrow<T>(sum[v]);
        save(gx + p.n * to.at[0] + p.c * to.at[1] * V + p.h * to.at[2] + p.w * to.at[3], out);
    }
}

KERNEL(max_pool2d_pick)(const T* __restrict__ x, const i64* __restrict__ index, T* __restrict__ y, u64 count,
                        Longs<5> sizes, Longs<4> from, Longs<4> index_strides, Longs<4> to, int last, u64* fault,
                        u64 launch) {
    i64 C = sizes.at[0], H = sizes.at[1], W = sizes.at[2], OH = sizes.at[3], OW = sizes.at[4];
    bool small = count <= 0x7fffffffULL;
    for (u64 i = thread_number(); i < count; i += thread_count()) {
        Place p = place_of_number(i, small, last, C, OH, OW);
        i64 which = index[at_place(p, index_strides)];
        if (!in_range(which, H * W, fault, launch)) continue;
        i64 source = p.n * from.at[0] + p.c * from.at[1] + which / W * from.at[2] + which % W * from.at[3];
        y[at_place(p, to)] = x[source];
    }
}

// What the sum over a window is divided by, along one axis.
DEVICE i64 divisor(i64 output, i64 size, i64 kernel, i64 stride, i64 padding, int count_padding) {
    i64 start = output * stride, end = start + kernel;
    if (count_padding) return (end < size + 2 * padding ? end : size + 2 * padding) - start;
    if (end > size + padding) end = size + padding;
    if (start < padding) start = padding;
    return end > start ? end - start : 0;
}

DEVICE A divisor_of(const Longs<8>& window, i64 i, i64 j, i64 H, i64 W, int count_padding) {
    return A(divisor(i, H, window.at[0], window.at[2], window.at[4], count_padding)) *
           A(divisor(j, W, window.at[1], window.at[3], window.at[5], count_padding));
}

KERNEL(avg_pool2d)(const T* __restrict__ x, T* __restrict__ y, u64 count, Longs<5> sizes, Longs<8> window,
                   Longs<4> from, Longs<4> to, int last, int count_padding) {
    i64 C = sizes.at[0], H = sizes.at[1], W = sizes.at[2], OH = sizes.at[3], OW = sizes.at[4];
    bool small = is_small(window, count);
    for (u64 i = thread_number(); i < count; i += thread_count()) {
        Place p = place_of_number(i, small, last, C, OH, OW);
        Span rows = down(window, p.h, H, small), columns = across(window, p.w, W, small);
        const T* plane = x + p.n * from.at[0] + p.c * from.at[1] * V;
        A sum[V];
        for (int v = 0; v < V; v++) sum[v] = A(0);
        for (i64 k = rows.begin; k < rows.end; k++)
            for (i64 l = columns.begin; l < columns.end; l++) {
                Elements e = load(plane + (rows.start + k) * from.at[2] + (columns.start + l) * from.at[3]);
                for (int v = 0; v < V; v++) sum[v] += widen<A>(e.at[v]);
            }
        A by = divisor_of(window, p.h, p.w, H, W, count_padding);
        Elements out;
        for (int v = 0; v < V; v++) out.at[v] = narrow<T>(sum[v] / by);
        save(y + p.n * to.at[0] + p.c * to.at[1] * V + p.h * to.at[2] + p.w * to.at[3], out);
    }
}

KERNEL(avg_pool2d_grad)(const T* __restrict__ gy, T* __restrict__ gx, u64 count, Longs<5> sizes, Longs<8> window,
                        Longs<4> from, Longs<4> to, int last, int count_padding) {
    i64 C = sizes.at[0], H = sizes.at[1], W = sizes.at[2], OH = sizes.at[3], OW = sizes.at[4];
    bool small = is_small(window, count);
    for (u64 i = thread_number(); i < count; i += thread_count()) {
        Place p = place_of_number(i, small, last, C, H, W);
        Reached rows = windows_over(p.h + window.at[4], window.at[0] - 1, window.at[2], OH, small);
        Reached columns = windows_over(p.w + window.at[5], window.at[1] - 1, window.at[3], OW, small);
        A sum[V];
        for (int v = 0; v < V; v++) sum[v] = A(0);
        const T* grads = gy + p.n * from.at[0] + p.c * from.at[1] * V;
        for (i64 oi = rows.first; oi <= rows.last; oi++)
            for (i64 oj = columns.first; oj <= columns.last; oj++) {
                A by = divisor_of(window, oi, oj, H, W, count_padding);
                Elements g = load(grads + oi * from.at[2] + oj * from.at[3]);
                for (int v = 0; v < V; v++) sum[v] += widen<A>(g.at[v]) / by;
            }
        Elements out;
        for (int v = 0; v < V; v++) out.at[v] = narrow<T>(sum[v]);
        save(gx + p.n * to.at[0] + p.c * to.at[1] * V + p.h * to.at[2] + p.w * to.at[3], out);
    }
}

// Without windows: a thread takes a plane and adds in the order of the gradients.
KERNEL(scatter_planes)(const T* __restrict__ gy, const i64* __restrict__ index, A* __restrict__ sums, u64 planes,
                       Longs<5> sizes, Longs<4> gy_strides, Longs<4> index_strides, Longs<4> to, u64* fault,
                       u64 launch) {
    i64 C = sizes.at[0], H = sizes.at[1], W = sizes.at[2], OH = sizes.at[3], OW = sizes.at[4];
    for (u64 i = thread_number(); i < planes; i += thread_count()) {
        i64 n = i64(i / u64(C)), c = i64(i % u64(C));
        const T* grads = gy + n * gy_strides.at[0] + c * gy_strides.at[1];
        const i64* places = index + n * index_strides.at[0] + c * index_strides.at[1];
        A* target = sums + n * to.at[0] + c * to.at[1];
        for (i64 oi = 0; oi < OH; oi++)
            for (i64 oj = 0; oj < OW; oj++) {
                i64 which = places[oi * index_strides.at[2] + oj * index_strides.at[3]];
                if (!in_range(which, H * W, fault, launch)) continue;
                target[which / W * to.at[2] + which % W * to.at[3]] +=
                    widen<A>(grads[oi * gy_strides.at[2] + oj * gy_strides.at[3]]);
            }
    }
}
