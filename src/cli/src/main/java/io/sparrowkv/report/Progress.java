package io.sparrowkv.report;

import java.io.PrintWriter;
import java.time.Duration;
import me.tongfei.progressbar.DelegatingProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/**
 * How far a long job is, on stderr: a bar on a terminal, elsewhere a plain line every ten seconds. Used by one thread at a time.
 */
public final class Progress implements AutoCloseable {
    /** Set by the launcher when stderr is a terminal: the JVM itself can only tell this of stdin and stdout together. */
    public static final String TERMINAL_PROPERTY = "sparrow.stderr.terminal";

    private static final long LINE_EVERY = Duration.ofSeconds(10).toNanos();
    private static final int BAR_WIDTH = 110;

    private final String task;
    private final long total;
    private final String unit;
    private final PrintWriter err;
    private final ProgressBar bar;
    private final long started = System.nanoTime();
    private long lastLine = started;
    private long base;
    private long done;
    private long shown = -1;
    private boolean closed;

    private Progress(String task, long total, String unit, PrintWriter err, boolean terminal) {
        this.task = task;
        this.total = total;
        this.unit = unit;
        this.err = err;
        this.bar = terminal
                ? new ProgressBarBuilder()
                        .setTaskName(task)
                        .setInitialMax(total)
                        .setUnit(" " + unit, 1)
                        .setStyle(ProgressBarStyle.ASCII)
                        .setUpdateIntervalMillis(250)
                        .setConsumer(new DelegatingProgressBarConsumer(this::redraw, BAR_WIDTH))
                        .showSpeed()
                        .build()
                : null;
    }

    /**
     * Starts to show a job.
     *
     * @param task what is done, such as {@code capture}
     * @param total how many units the job has
     * @param unit plural of what is counted, such as {@code tokens}
     */
    public static Progress start(String task, long total, String unit, PrintWriter err) {
        return new Progress(task, total, unit, err, Boolean.getBoolean(TERMINAL_PROPERTY));
    }

    /** Says that a job goes on from {@code done} units, which then do not count towards its speed. */
    public void resumeAt(long done) {
        this.base = done;
        this.done = done;
        if (bar != null) {
            bar.stepTo(done);
        }
    }

    /**
     * Tells how far the job is.
     *
     * @param done units done since the job began
     * @param note shown behind the bar, such as the loss; may be empty
     */
    public void at(long done, String note) {
        this.done = done;
        if (bar != null) {
            bar.stepTo(done);
            bar.setExtraMessage(note);
            return;
        }
        long now = System.nanoTime();
        if (now - lastLine >= LINE_EVERY) {
            lastLine = now;
            line(note);
        }
    }

    /** Ends the bar's line; may be called again. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        if (bar != null) {
            bar.close();
            err.println();
        } else if (lastLine != started && done != shown) {
            line("");
        }
    }

    private void redraw(String text) {
        err.print("\r" + text);
        err.flush();
    }

    private void line(String note) {
        shown = done;
        double seconds = (System.nanoTime() - started) / 1e9;
        double rate = (done - base) / seconds;
        String remaining = done == base || done >= total
                ? ""
                : ", " + Quantities.time(Duration.ofSeconds(Math.round((total - done) / rate))) + " to go";
        err.printf(
                "sparrow: %s: %s of %s %s, %s%s%s%n",
                task,
                Quantities.count(done),
                Quantities.count(total),
                unit,
                Quantities.rate(rate, unit),
                remaining,
                note.isEmpty() ? "" : " | " + note);
    }
}
