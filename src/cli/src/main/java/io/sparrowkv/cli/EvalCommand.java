package io.sparrowkv.cli;

import picocli.CommandLine.Command;

/** Groups the evaluations of what a sparse cache costs in fidelity. */
@Command(
        name = "eval",
        description = "Measure on a text what caches cost in fidelity and save in memory.",
        synopsisSubcommandLabel = "COMMAND",
        subcommands = {EvalPplCommand.class, EvalCodecsCommand.class, EvalPasskeyCommand.class, EvalSitesCommand.class})
final class EvalCommand {}
