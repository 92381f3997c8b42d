package io.sparrowkv.cli;

import io.sparrowkv.attention.CodeProfile;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.sae.DictionarySet;
import java.nio.file.Path;

/** A profile of sparse codes with the file that it was read from, for what there is to complain about. */
record ProfileFile(Path file, CodeProfile profile) {
    /** @throws io.sparrowkv.io.InvalidInputException when the file is missing, broken, or of quantizers */
    static ProfileFile read(Path file) {
        return new ProfileFile(file, CodeProfile.read(file));
    }

    /** @throws io.sparrowkv.io.InvalidInputException when it is another model's, or other dictionaries' */
    void requireFit(CausalLm lm, DictionarySet dictionaries) {
        profile.requireFit(file, lm.fingerprint(), dictionaries.fingerprint());
    }
}
