package io.sparrowkv.cli;

/**
 * What a run does, once, before it reads a prompt. The JVM's own start is not in it.
 *
 * @param model seconds of loading the model and its tokenizer, libtorch's start included
 * @param dictionaries seconds of reading the dictionaries and starting the encoder; of a dense cache 0
 * @param cache seconds of opening or making the store on disk, where there is one, and making the empty cache
 */
record StartTimes(double model, double dictionaries, double cache) {
    /** Seconds from the loaded model to where the prompt is read. */
    double afterModel() {
        return dictionaries + cache;
    }

    /** Takes the times as the start goes on. */
    static final class Clock {
        private static final double NANOS = 1e9;

        private final long start = System.nanoTime();
        private long modelLoaded;
        private long dictionariesRead;

        void modelLoaded() {
            modelLoaded = System.nanoTime();
            dictionariesRead = modelLoaded;
        }

        void dictionariesRead() {
            dictionariesRead = System.nanoTime();
        }

        StartTimes cacheMade() {
            return new StartTimes(
                    (modelLoaded - start) / NANOS,
                    (dictionariesRead - modelLoaded) / NANOS,
                    (System.nanoTime() - dictionariesRead) / NANOS);
        }
    }
}
