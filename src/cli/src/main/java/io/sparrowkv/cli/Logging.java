package io.sparrowkv.cli;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.encoder.PatternLayoutEncoder;
import ch.qos.logback.classic.spi.Configurator;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.ConsoleAppender;
import ch.qos.logback.core.spi.ContextAwareBase;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Log lines on stderr, set up in code: reading logback's XML would take a quarter of the start. Sparrow's own lines from INFO on
 * are choices and their reasons, one line each; of libraries only warnings show.
 */
public final class Logging extends ContextAwareBase implements Configurator {
    private static final String OWN = "io.sparrowkv";
    private static final String GPU_PROBE = "ai.djl.util.cuda";
    private static final String CHRONICLE = "net.openhft";
    private static final String ARROW_MEMORY = "org.apache.arrow.memory";

    @Override
    public ExecutionStatus configure(LoggerContext context) {
        PatternLayoutEncoder encoder = new PatternLayoutEncoder();
        encoder.setContext(context);
        encoder.setPattern("sparrow: %replace(%replace(%level: ){'^INFO: ', ''}){'^WARN: ', 'warning: '}%msg%n");
        encoder.start();
        ConsoleAppender<ILoggingEvent> stderr = new ConsoleAppender<>();
        stderr.setContext(context);
        stderr.setTarget("System.err");
        stderr.setEncoder(encoder);
        stderr.start();
        context.getLogger(Logger.ROOT_LOGGER_NAME).addAppender(stderr);
        setLevels(context, 0);
        return ExecutionStatus.DO_NOT_INVOKE_NEXT_IF_ANY;
    }

    /** Sets how much is logged: 0 choices and warnings, 1 details, 2 everything. */
    static void verbosity(int verbosity) {
        setLevels((LoggerContext) LoggerFactory.getILoggerFactory(), verbosity);
    }

    private static void setLevels(LoggerContext context, int verbosity) {
        context.getLogger(Logger.ROOT_LOGGER_NAME)
                .setLevel(verbosity == 0 ? Level.WARN : verbosity == 1 ? Level.INFO : Level.DEBUG);
        // Everything runs on the CPU: that a machine's GPU cannot be used is no warning.
        context.getLogger(GPU_PROBE).setLevel(verbosity == 0 ? Level.ERROR : Level.WARN);
        // It warns of every repair in four lines; the store says that it is being repaired in one.
        context.getLogger(CHRONICLE).setLevel(verbosity == 0 ? Level.ERROR : Level.WARN);
        // Its reader leaks when a file is damaged, which our own line has said by then.
        context.getLogger(ARROW_MEMORY).setLevel(verbosity == 0 ? Level.OFF : Level.WARN);
        context.getLogger(OWN).setLevel(verbosity == 0 ? Level.INFO : verbosity == 1 ? Level.DEBUG : Level.TRACE);
    }
}
