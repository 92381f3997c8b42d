package io.sparrowkv.train;

import io.sparrowkv.capture.Tap;
import io.sparrowkv.capture.VectorOrigin;
import io.sparrowkv.capture.VectorSink;
import io.sparrowkv.capture.VectorSource;
import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.sae.Heads;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * A shuffle buffer for each site, filled together: one pass of the source over some chunks serves all sites, and batches are drawn
 * from them in random order until they are used up.
 */
final class SiteBuffers implements VectorSink, AutoCloseable {
    private static final int GATHER_TASK = 256;

    /** One site's buffer, and the factor its vectors are multiplied with on the way in. */
    private static final class Buffer {
        final Site site;
        final Tap tap;
        final MemorySegment vectors;
        float factor = 1;
        int rows;

        Buffer(Site site, Tap tap, MemorySegment vectors) {
            this.site = site;
            this.tap = tap;
            this.vectors = vectors;
        }
    }

    private final Arena arena = Arena.ofShared();
    private final List<Buffer> buffers = new ArrayList<>();
    private final int tokenWidth;
    private final int vectorsOfToken;
    private final int width;
    private final int chunkRows;
    private final int capacity;

    /**
     * @param sites all alike in their {@link io.sparrowkv.sae.Heads}, so that each gets the same number of rows
     * @param rows wanted size of a buffer; at least a batch and a chunk always fit
     */
    SiteBuffers(VectorOrigin origin, List<Site> sites, RopeStage rope, int rows, int batch) {
        Heads heads = sites.getFirst().heads();
        this.tokenWidth = origin.kvHeads() * origin.dHead();
        this.vectorsOfToken = heads.vectorsOfToken(origin.kvHeads());
        this.width = heads.width(origin.kvHeads(), origin.dHead());
        this.chunkRows = origin.chunkTokens() * vectorsOfToken;
        this.capacity = Math.max(rows, Math.addExact(batch, chunkRows));
        for (Site site : sites) {
            MemorySegment vectors = arena.allocate((long) capacity * width * Float.BYTES, 64);
            buffers.add(new Buffer(site, Tap.of(site.kind(), rope), vectors));
        }
    }

    /** Bytes of all buffers for the given shape, what {@link SiteBuffers} will take off-heap. */
    long byteSize() {
        return (long) buffers.size() * capacity * width * Float.BYTES;
    }

    /** Most rows of one site in a chunk. */
    int chunkRows() {
        return chunkRows;
    }

    int capacity() {
        return capacity;
    }

    /** Rows in each buffer. */
    int rows() {
        return buffers.getFirst().rows;
    }

    /** The buffer of a site, {@code [rows, width]}. */
    MemorySegment vectors(int site) {
        return buffers.get(site).vectors;
    }

    /** Sets what the vectors of a site are multiplied with on the way in, and multiplies those that are there. */
    void factor(int site, float factor) {
        Buffer buffer = buffers.get(site);
        buffer.factor = factor;
        Lanes.scale(buffer.vectors, 0, factor, buffer.vectors, 0, (long) buffer.rows * width);
    }

    /** Empties the buffers. */
    void clear() {
        for (Buffer buffer : buffers) {
            buffer.rows = 0;
        }
    }

    /** Whether another chunk surely fits. */
    boolean hasRoom() {
        return rows() + chunkRows <= capacity;
    }

    /** Appends a chunk to every buffer. */
    void read(VectorSource source, long chunk) {
        int before = rows();
        source.read(chunk, this);
        for (Buffer buffer : buffers) {
            if (buffer.rows != rows() || buffer.rows == before) {
                throw new IllegalStateException("chunk %d gave %s %d vectors where %s has %d"
                        .formatted(chunk, buffer.site, buffer.rows - before, buffers.getFirst().site, rows() - before));
            }
        }
    }

    @Override
    public boolean wants(int layer, Tap tap) {
        for (Buffer buffer : buffers) {
            if (buffer.site.layer() == layer && buffer.tap == tap) {
                return true;
            }
        }
        return false;
    }

    @Override
    public void accept(int layer, Tap tap, int firstPosition, int tokens, MemorySegment vectors) {
        for (Buffer buffer : buffers) {
            if (buffer.site.layer() == layer && buffer.tap == tap) {
                append(buffer, tokens, vectors);
            }
        }
    }

    private void append(Buffer buffer, int tokens, MemorySegment vectors) {
        long to = (long) buffer.rows * width;
        if (buffer.site.heads() == Heads.EACH) {
            for (int token = 0; token < tokens; token++) {
                long from = (long) token * tokenWidth + (long) buffer.site.head() * width;
                Lanes.scale(buffer.vectors, to + (long) token * width, buffer.factor, vectors, from, width);
            }
        } else {
            Lanes.scale(buffer.vectors, to, buffer.factor, vectors, 0, (long) tokens * tokenWidth);
        }
        buffer.rows += tokens * vectorsOfToken;
    }

    /**
     * Copies rows of a site's buffer together.
     *
     * @param order rows of the buffer; those at {@code [first, first + rows)} are taken
     */
    void gather(int site, int[] order, int first, int rows, MemorySegment to, Workers workers) {
        MemorySegment from = buffers.get(site).vectors;
        long bytes = (long) width * Float.BYTES;
        workers.forEach((rows + GATHER_TASK - 1) / GATHER_TASK, (task, worker) -> {
            int end = Math.min(rows, (task + 1) * GATHER_TASK);
            for (int row = task * GATHER_TASK; row < end; row++) {
                MemorySegment.copy(from, order[first + row] * bytes, to, row * bytes, bytes);
            }
        });
    }

    @Override
    public void close() {
        arena.close();
    }
}
