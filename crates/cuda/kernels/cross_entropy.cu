// Cross entropy of logits and class numbers, and its gradient. A warp takes a row. T is the type of the
// logits, A what is computed in and the type of the losses.

DEVICE u64 line_number() { return u64(blockIdx.x) * blockDim.y + threadIdx.y; }

struct Row { A largest, log_sum; };

// The largest logit of a row, and the logarithm of the sum of exponentials below it.
DEVICE Row of_row(const T* logits, i64 classes, i64 along) {
    A largest = A(-INFINITY_F32);
    for (i64 k = threadIdx.x; k < classes; k += 32) {
        A value = widen<A>(logits[k * along]);
        largest = value > largest ? value : largest;
    }
    for (int m = 16; m > 0; m >>= 1) {
        A other = __shfl_xor_sync(0xffffffffu, largest, m);
        largest = other > largest ? other : largest;
    }
    A sum = A(0);
    for (i64 k = threadIdx.x; k < classes; k += 32) sum += exp(widen<A>(logits[k * along]) - largest);
    return Row{largest, log(warp_sum(sum))};
}

KERNEL(cross_entropy)(const T* __restrict__ logits, const i64* __restrict__ targets, A* __restrict__ loss, u64 rows,
                      i64 classes, i64 row_stride, i64 along, i64 target_stride, i64 loss_stride, double smoothing,
                      i64 ignored, u64* fault, u64 launch) {
    u64 row = line_number();
    bool active = row < rows;
    if (!active) row = 0;
    const T* source = logits + i64(row) * row_stride;
    Row r = of_row(source, classes, along);
    i64 target = targets[i64(row) * target_stride];
    A own = A(1.0 - smoothing), each = A(smoothing / double(classes)), sum = A(0);
    if (smoothing != 0.0)
        for (i64 k = threadIdx.x; k < classes; k += 32)
            sum += (widen<A>(source[k * along]) - r.largest) - r.log_sum;
    sum = warp_sum(sum);
    if (!active || threadIdx.x != 0) return;
    A result = A(0);
    if (target != ignored) {
        if (!in_range(target, classes, fault, launch)) return;
        if (own != A(0)) result -= own * ((widen<A>(source[target * along]) - r.largest) - r.log_sum);
        if (smoothing != 0.0) result -= each * sum;
    }
    loss[i64(row) * loss_stride] = result;
}

KERNEL(cross_entropy_grad)(const A* __restrict__ gloss, const T* __restrict__ logits, const i64* __restrict__ targets,
                           T* __restrict__ gx, u64 rows, i64 classes, i64 gloss_stride, i64 row_stride, i64 along,
                           i64 target_stride, i64 gx_row, i64 gx_along, double smoothing, i64 ignored, u64* fault,
                           u64 launch) {
    u64 row = line_number();
    bool active = row < rows;
    if (!active) row = 0;
    const T* source = logits + i64(row) * row_stride;
    Row r = of_row(source, classes, along);
    if (!active) return;
    i64 target = targets[i64(row) * target_stride];
    bool counts = target != ignored;
    if (counts && !in_range(target, classes, fault, launch)) return;
    A g = gloss[i64(row) * gloss_stride], own = A(1.0 - smoothing), each = A(smoothing / double(classes));
    for (i64 k = threadIdx.x; k < classes; k += 32) {
        A p = exp((widen<A>(source[k * along]) - r.largest) - r.log_sum);
        A q = each + (k == target ? own : A(0));
        gx[i64(row) * gx_row + k * gx_along] = narrow<T>(counts ? g * (p - q) : A(0));
    }
}
