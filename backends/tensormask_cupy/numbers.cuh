// Numbers as arrays store them (STORED) and as kernels sum them up (SUM).
// Half precision is a type of its own, so that it is widened and rounded where the code says so.
// The conversions are single instructions; no header of the toolkit is needed for them.

typedef long long int64;

struct float16 { unsigned short bits; };
struct bfloat16 { unsigned short bits; };

#ifdef __CUDACC__
__device__ __forceinline__ float float16_to_float(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

__device__ __forceinline__ unsigned short float_to_float16(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

__device__ __forceinline__ unsigned short float_to_bfloat16(float value) {
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#endif

__device__ __forceinline__ double widen(double value) { return value; }
__device__ __forceinline__ float widen(float value) { return value; }
__device__ __forceinline__ float widen(float16 value) { return float16_to_float(value.bits); }
__device__ __forceinline__ float widen(bfloat16 value) {
    return __uint_as_float((unsigned)value.bits << 16);
}

__device__ __forceinline__ void narrow(double sum, double& value) { value = sum; }
__device__ __forceinline__ void narrow(float sum, float& value) { value = sum; }
__device__ __forceinline__ void narrow(float sum, float16& value) {
    value.bits = float_to_float16(sum);
}
__device__ __forceinline__ void narrow(float sum, bfloat16& value) {
    value.bits = float_to_bfloat16(sum);
}

// Division of many small numbers (below 2^16) by one divisor, as a multiplication.
struct Divisor {
    unsigned by, magic;
    __device__ explicit Divisor(unsigned divisor)
        : by(divisor), magic(divisor > 1 ? 0xffffffffu / divisor + 1 : 0) {}
    __device__ __forceinline__ unsigned quotient(unsigned value) const {
        return magic ? __umulhi(value, magic) : value;
    }
};

// What padding adds to an output whose rows and columns miss these weights. Infinity stays
// outside: where nothing is missing the answer is exactly 0.
__device__ __forceinline__ SUM padding(SUM rows, SUM columns, SUM pad_value) {
    const SUM missing = rows + (1 - rows) * columns;
    return missing > 0 ? missing * pad_value : 0;
}
