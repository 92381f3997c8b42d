package io.sparrowkv.encode;

/**
 * A device that an encoder can run on.
 *
 * @param encoder name as {@code --encoder} takes it, such as {@code tornado:opencl:0}
 * @param backend what drives it, such as {@code opencl}
 * @param name of the device, by its driver
 * @param kind {@code cpu}, {@code gpu} or {@code accelerator}
 * @param memoryBytes its memory
 * @param localMemoryBytes memory that a work group shares
 * @param workGroupLimit most threads of a work group
 * @param driver version of its driver
 */
public record EncoderDevice(
        String encoder,
        String backend,
        String name,
        String kind,
        long memoryBytes,
        long localMemoryBytes,
        long workGroupLimit,
        String driver) {}
