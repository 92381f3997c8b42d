package io.sparrowkv.llm.tokenizer;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.io.JsonFields;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** The tokenizer of a model's folder. */
public final class TextTokenizer implements AutoCloseable {
    /** Name of the file in a model's folder. */
    public static final String FILE = "tokenizer.json";

    private static final JsonMapper JSON = JsonMapper.shared();

    private final HuggingFaceTokenizer tokenizer;
    private final TextCuts cuts;

    private TextTokenizer(HuggingFaceTokenizer tokenizer, TextCuts cuts) {
        this.tokenizer = tokenizer;
        this.cuts = cuts;
    }

    /**
     * Loads {@code tokenizer.json}.
     *
     * @param folder the model's folder
     * @param vocabulary number of ids that the model knows
     * @throws InvalidInputException when the file is missing or broken, or has ids that the model lacks
     */
    public static TextTokenizer load(Path folder, int vocabulary) {
        Path file = folder.resolve(FILE);
        if (!Files.exists(file)) {
            throw new InvalidInputException(file + ": no such file; put the model's tokenizer.json there");
        }
        JsonFields fields = JsonFields.read(file);
        int largest = largestId(fields);
        if (largest >= vocabulary) {
            throw new InvalidInputException(
                    "%s: has token id %d where the model's vocab_size is %d; use the tokenizer of this model"
                            .formatted(file, largest, vocabulary));
        }
        try {
            // The library cuts and pads to 512 tokens unless told otherwise.
            Map<String, String> options = Map.of("truncation", "false", "padding", "false");
            HuggingFaceTokenizer tokenizer = dropsUnknownCharacters(folder)
                    ? HuggingFaceTokenizer.newInstance(withoutUnknownToken(file), options)
                    : HuggingFaceTokenizer.newInstance(file, options);
            return new TextTokenizer(tokenizer, TextCuts.of(fields));
        } catch (IOException | RuntimeException e) {
            String reason = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
            throw new InvalidInputException(
                    "%s: is not a tokenizer that can be used (%s); download it again".formatted(file, reason), e);
        }
    }

    /**
     * transformers builds its Llama tokenizer from the vocabulary and the merges alone, without the unknown token: a character that
     * is neither a token nor made of byte tokens then leaves no trace. Seen only with vocabularies that lack the bytes.
     */
    private static boolean dropsUnknownCharacters(Path folder) {
        Path file = folder.resolve("tokenizer_config.json");
        return Files.exists(file)
                && JsonFields.read(file)
                        .optionalString("tokenizer_class")
                        .orElse("")
                        .startsWith("LlamaTokenizer");
    }

    private static InputStream withoutUnknownToken(Path file) throws IOException {
        JsonNode root = JSON.readTree(Files.readAllBytes(file));
        ((ObjectNode) root.path("model")).putNull("unk_token");
        return new ByteArrayInputStream(JSON.writeValueAsBytes(root));
    }

    /** The vocabulary is an object of ids by token or, for unigram models, a list in the order of ids. */
    private static int largestId(JsonFields fields) {
        JsonFields model = fields.object("model").orElseThrow(() -> fields.missing("model"));
        JsonNode vocabulary = model.get("vocab").orElseThrow(() -> model.missing("vocab"));
        int largest = vocabulary.isArray() ? vocabulary.size() - 1 : -1;
        if (vocabulary.isObject()) {
            for (Map.Entry<String, JsonNode> entry : vocabulary.properties()) {
                largest = Math.max(largest, entry.getValue().asInt(-1));
            }
        }
        for (JsonNode added : fields.get("added_tokens").map(JsonNode::values).orElse(List.of())) {
            largest = Math.max(largest, added.path("id").asInt(-1));
        }
        if (largest < 0) {
            throw model.missing("vocab");
        }
        return largest;
    }

    /** Token ids of a text, without the special tokens that a model may want before it. */
    public int[] encode(String text) {
        return encode(text, false);
    }

    /**
     * Token ids of a text.
     *
     * @param special whether to add what the tokenizer puts around a text, such as a begin-of-sequence token
     */
    public int[] encode(String text, boolean special) {
        int[] ids = new int[0];
        int from = 0;
        do {
            int to = special ? text.length() : cuts.next(text, from);
            int[] piece = piece(text.substring(from, to), special);
            ids = Arrays.copyOf(ids, ids.length + piece.length);
            System.arraycopy(piece, 0, ids, ids.length - piece.length, piece.length);
            from = to;
        } while (from < text.length());
        return ids;
    }

    private int[] piece(String text, boolean special) {
        return Arrays.stream(tokenizer.encode(text, special, false).getIds())
                .mapToInt(Math::toIntExact)
                .toArray();
    }

    /** The text of token ids, special tokens left out. */
    public String decode(int[] ids) {
        return tokenizer.decode(Arrays.stream(ids).asLongStream().toArray(), true);
    }

    /** Begins to decode what follows {@code context}, id by id. */
    public TextStream stream(int[] context) {
        return new TextStream(this::decode, context);
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
