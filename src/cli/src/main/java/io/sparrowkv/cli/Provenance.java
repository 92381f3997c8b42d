package io.sparrowkv.cli;

import java.util.Optional;

/**
 * Where figures come from: what a recorded measurement is to be kept with.
 *
 * @param version of Sparrow KV
 * @param commit of the checkout, as the launcher or the bundle tells; empty where there is none
 * @param machine what it ran on
 */
record Provenance(String version, Optional<String> commit, Machine machine) {
    /** Set by the launcher and by bundles. */
    static final String COMMIT = "sparrow.commit";

    static Provenance probe() {
        return new Provenance(
                Version.number(),
                Optional.ofNullable(System.getProperty(COMMIT)).filter(commit -> !commit.isEmpty()),
                Machine.probe());
    }
}
