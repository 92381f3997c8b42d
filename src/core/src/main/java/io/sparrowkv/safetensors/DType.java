package io.sparrowkv.safetensors;

/** Element type of a tensor, named as in a safetensors header. */
public enum DType {
    F64(8),
    F32(4),
    F16(2),
    BF16(2),
    I64(8),
    I32(4),
    I16(2),
    I8(1),
    U64(8),
    U32(4),
    U16(2),
    U8(1),
    BOOL(1),
    F8_E4M3(1),
    F8_E5M2(1);

    private final int byteSize;

    DType(int byteSize) {
        this.byteSize = byteSize;
    }

    /** Bytes of one element. */
    public int byteSize() {
        return byteSize;
    }

    /** Whether {@link SafetensorsFile#readFloats} gives its values as fp32 without loss. */
    public boolean widensToFloat() {
        return this == F32 || this == F16 || this == BF16;
    }

    /**
     * The nearest value that this type can hold, ties to even.
     *
     * @throws IllegalArgumentException when the type is none of F32, F16, BF16
     */
    public float round(float value) {
        return switch (this) {
            case F32 -> value;
            case F16 -> Float.float16ToFloat(Float.floatToFloat16(value));
            case BF16 -> Float.intBitsToFloat(FloatConversion.toBrain(value) << 16);
            default -> throw new IllegalArgumentException("fp32 does not round to " + this);
        };
    }
}
