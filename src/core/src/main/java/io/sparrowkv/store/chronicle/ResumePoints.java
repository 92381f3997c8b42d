package io.sparrowkv.store.chronicle;

import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;

/**
 * The blocks of a prompt whose end reading will be able to go on from, since the window there is kept dense: the last that this
 * prompt's own reader could use, the one where a known path was left, and such at distances from the end that double. So a prompt
 * with another end of n blocks reads at most about 2n blocks again, and log2 of the prompt's blocks bounds the windows.
 */
final class ResumePoints {
    /** Of nothing that is to be kept. */
    static final ResumePoints NONE = new ResumePoints(0);

    private final TreeSet<Integer> points = new TreeSet<>();
    private final int window;

    private ResumePoints(int window) {
        this.window = window;
    }

    /**
     * Chooses the points of a prompt.
     *
     * @param blocks whole blocks of the prompt that can be known when its last token is read
     * @param restored blocks that reading goes on from now: points up to there are kept already
     * @param found blocks whose codes were known
     * @param last blocks that this reader would have taken had they been known
     * @param window blocks that a window takes
     * @param room most blocks that all windows may take; the first point has its window whatever the room
     */
    static ResumePoints of(int blocks, int restored, int found, int last, int window, long room) {
        ResumePoints chosen = new ResumePoints(window);
        List<Integer> wanted = new ArrayList<>(List.of(last, blocks, found));
        for (int distance = 1; distance < blocks; distance *= 2) {
            wanted.add(blocks - distance);
        }
        long left = room;
        for (int point : wanted) {
            if (point > restored && (chosen.points.isEmpty() || left >= window)) {
                left -= chosen.points.add(point) ? window : 0;
            }
        }
        return chosen;
    }

    /** Whether a window reaches into a block. */
    boolean needDense(int block) {
        Integer point = points.higher(block);
        return point != null && block >= point - window;
    }
}
