package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.capture.VectorOrigin;
import io.sparrowkv.cli.VectorArguments.LiveVectors;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.capture.ModelVectorSource;
import io.sparrowkv.llm.gradient.FisherMetric;
import io.sparrowkv.llm.gradient.SecondMoment;
import io.sparrowkv.llm.model.FarReads;
import io.sparrowkv.report.Progress;
import io.sparrowkv.sae.Metric;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import java.io.PrintWriter;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.Option;

/** How the errors of codes are weighed while dictionaries are trained. */
final class MetricArguments {
    private static final Pattern FORM = Pattern.compile("fisher(?::(\\d+(?:\\.\\d+)?))?");

    /** Measured beside 0 and 1: docs/fidelity.md. */
    private static final double DEFAULT_POWER = 0.5;

    private static final int MOST_CONTEXTS = 100_000;

    @Option(
            names = "--metric",
            paramLabel = "HOW",
            description = "Weigh errors by fisher, what the model's predictions feel of them, measured on the texts; or"
                    + " fisher:POWER, with the spectrum raised to POWER from 0 to 1 (default: as the dictionaries of --from,"
                    + " else not weighed).")
    private Optional<String> metric = Optional.empty();

    @Option(
            names = "--metric-contexts",
            paramLabel = "N",
            defaultValue = "32",
            description = "Contexts of the texts that the metric is measured on (default: 32).")
    private int contexts;

    boolean given() {
        return metric.isPresent();
    }

    /** How it was asked for, for the record. */
    String label() {
        return metric.orElse("none");
    }

    /**
     * Measures metrics.
     *
     * @throws InvalidInputException when what is asked for is no metric
     */
    Map<Site, Metric> measure(LiveVectors live, List<Site> sites, RopeStage rope, long seed, PrintWriter err) {
        double power = power();
        Check.range("--metric-contexts", contexts, 1, MOST_CONTEXTS);
        ModelVectorSource text = live.source();
        CacheOptions usual = CacheOptions.defaults();
        FarReads reads = FarReads.asSparseCache(usual.window(), usual.sinks(), rope);
        int count = (int) Math.min(contexts, text.chunks());
        Map<Site, Metric> metrics = new HashMap<>();
        try (Progress progress = Progress.start("metric", count, "contexts", err)) {
            Map<Site, SecondMoment> moments = new FisherMetric(live.lm(), reads)
                    .measure(text, count, sites, seed, (done, all) -> progress.at(done, ""));
            moments.forEach((site, moment) -> metrics.put(site, metric(site, text.origin(), moment, power)));
        }
        return metrics;
    }

    private static Metric metric(Site site, VectorOrigin origin, SecondMoment moment, double power) {
        int width = site.heads().width(origin.kvHeads(), origin.dHead());
        try {
            return Metric.ofMoments(width, moment.matrix(), power);
        } catch (IllegalArgumentException e) {
            throw new InvalidInputException(
                    "%s: the model's predictions give no metric (%s); train without --metric"
                            .formatted(site, e.getMessage()),
                    e);
        }
    }

    private double power() {
        Matcher matcher = FORM.matcher(metric.orElseThrow());
        double power = !matcher.matches()
                ? Double.NaN
                : matcher.group(1) == null ? DEFAULT_POWER : Double.parseDouble(matcher.group(1));
        if (!(power <= 1)) {
            throw new InvalidInputException(
                    "--metric is '%s'; give fisher, or fisher:POWER with a power from 0 to 1".formatted(metric.get()));
        }
        return power;
    }
}
