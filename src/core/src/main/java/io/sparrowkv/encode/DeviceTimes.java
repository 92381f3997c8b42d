package io.sparrowkv.encode;

/**
 * Where the time of a call goes on a device, as its own clock tells.
 *
 * @param kernelMicros in kernels, in µs
 * @param transferMicros in copies to and from the device, in µs
 */
public record DeviceTimes(double kernelMicros, double transferMicros) {}
