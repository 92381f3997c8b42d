package io.sparrowkv.tornado;

import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/**
 * Arrays that one kernel of a graph writes and a later one reads. TornadoVM 5.2 gives what the first kernel only writes a buffer of
 * OpenCL's type CL_MEM_WRITE_ONLY, and what a kernel reads from such a buffer is undefined (OpenCL 1.2, section 5.2.1). A kernel that may
 * read what it writes gets a buffer for both.
 */
final class WrittenThenRead {
    private WrittenThenRead() {}

    /**
     * What a kernel is to write at a place of such an array: {@code value}, in every launch there is.
     *
     * @param launch the launch's number, which is never 0
     */
    static float value(FloatArray array, int at, float value, int launch) {
        return launch == 0 ? array.get(at) : value;
    }
}
