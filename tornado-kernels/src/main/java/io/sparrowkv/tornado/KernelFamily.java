package io.sparrowkv.tornado;

import java.util.List;
import java.util.function.IntFunction;

/**
 * The kernels for one class of devices.
 *
 * @param label for messages, such as {@code kernels for GPUs}
 * @param halves whether weights that binary16 holds exactly are kept so on the device, and widened before each product
 * @param pair makes the kernels for dictionaries of so many panels
 */
record KernelFamily(String label, boolean halves, IntFunction<KernelPair> pair) {
    /** {@link CpuKernels}. A CPU's memory is the host's: halves would spare none of it, and cost a pass for each chunk. */
    static final KernelFamily CPU = new KernelFamily("kernels for CPUs", false, panels -> new CpuKernelPair());

    /** {@link GpuKernels}. */
    static final KernelFamily GPU =
            new KernelFamily("kernels for GPUs", true, panels -> new GpuKernelPair(new TiledProduct(panels)));

    /** {@link CublasKernels}. */
    static final KernelFamily CUBLAS = new KernelFamily(
            "cuBLAS", true, panels -> new GpuKernelPair(new CublasProduct(CublasProduct.Library.CUBLAS)));

    private static final String CUDA = "cuda";

    /** The kernels for a device, the best first. */
    static List<KernelFamily> of(Device device) {
        if (device.cpu()) {
            return List.of(CPU);
        }
        boolean cublas = device.backend().equals(CUDA)
                && ModuleLayer.boot().findModule(CublasKernels.MODULE).isPresent();
        return cublas ? List.of(CUBLAS, GPU) : List.of(GPU);
    }
}
