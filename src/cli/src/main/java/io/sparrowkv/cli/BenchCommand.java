package io.sparrowkv.cli;

import picocli.CommandLine.Command;

/** Groups the throughput runs. */
@Command(
        name = "bench",
        description =
                "Measure encoding, attention, generation and stores on this machine, checking the results as it does.",
        synopsisSubcommandLabel = "COMMAND",
        subcommands = {
            BenchEncodeCommand.class,
            BenchAttentionCommand.class,
            BenchGenerateCommand.class,
            BenchStoreCommand.class,
            BenchSoakCommand.class
        })
final class BenchCommand {}
