package io.sparrowkv.sae;

import io.sparrowkv.io.AtomicFile;
import io.sparrowkv.io.FolderTree;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.io.JsonFields;
import io.sparrowkv.safetensors.DType;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * The files of a dictionary set: {@code dictionaries.json} and, for each site, a folder named after it as {@link DictionaryFolder}
 * writes it. The contract is {@code arrow-schemas/dictionary.md}.
 *
 * <p>A set is written beside its place and moved there whole; its manifest holds the set's fingerprint, so files of different sets
 * are never taken together.
 */
public final class DictionaryFiles {
    public static final String MANIFEST = "dictionaries.json";

    private static final Logger LOG = LoggerFactory.getLogger(DictionaryFiles.class);
    private static final String HEADS = "heads";
    private static final String FORMAT = "sparrow-kv-dictionaries";
    private static final int VERSION = 1;
    private static final int MAX_LAYERS = 1 << 12;
    private static final int MAX_HEADS = 1 << 12;
    private static final int MAX_WIDTH = 1 << 16;
    private static final JsonMapper JSON = JsonMapper.shared();

    private DictionaryFiles() {}

    /**
     * Writes a set. A set that lies there is replaced.
     *
     * @param budget the largest that the dictionaries were trained for
     * @param dtype F32 or F16
     * @return the fingerprint of the set as it was stored, and as {@link #read} will give it
     * @throws InvalidInputException when the folder holds something else, cannot be written, or a weight does not fit the dtype
     */
    public static String write(Path folder, DictionarySet set, DictionaryManifest manifest, int budget, DType dtype) {
        Path target = folder.toAbsolutePath().normalize();
        Path beside = target.resolveSibling(".%s.%d.tmp"
                .formatted(target.getFileName(), ProcessHandle.current().pid()));
        try {
            if (Files.exists(target) && !Files.exists(target.resolve(MANIFEST)) && !isEmptyFolder(target)) {
                throw new InvalidInputException(
                        folder
                                + ": exists and holds no dictionaries; choose a new folder, or one with dictionaries to replace");
            }
            FolderTree.delete(beside);
            Files.createDirectories(beside);
            for (Dictionary dictionary : set.bySite().values()) {
                Path own = beside.resolve(dictionary.site().label());
                DictionaryFolder.write(own, dictionary, budget, dtype, manifest.modelName());
            }
            String fingerprint = storedFingerprint(beside, set);
            byte[] text = JSON.writerWithDefaultPrettyPrinter()
                    .writeValueAsString(content(set, manifest, dtype, fingerprint))
                    .concat("\n")
                    .getBytes(StandardCharsets.UTF_8);
            AtomicFile.write(beside.resolve(MANIFEST), text);
            replace(target, beside);
            return fingerprint;
        } catch (IOException e) {
            throw new InvalidInputException(
                    "%s: cannot be written (%s); choose a folder that can be written".formatted(folder, e.getMessage()),
                    e);
        } finally {
            deleteTreeQuietly(beside);
        }
    }

    /**
     * Reads what a set's manifest says, without its weights.
     *
     * @throws InvalidInputException when it is missing, broken, or of another version
     */
    public static DictionaryManifest readManifest(Path folder) {
        JsonFields fields = fields(folder);
        JsonFields model = fields.object("model").orElseThrow(() -> fields.missing("model"));
        Map<String, String> training = new LinkedHashMap<>();
        fields.get("training").ifPresent(node -> {
            for (Map.Entry<String, JsonNode> entry : node.properties()) {
                training.put(entry.getKey(), entry.getValue().asString());
            }
        });
        return new DictionaryManifest(
                model.string("name"),
                model.string("fingerprint"),
                fields.positive("layers", MAX_LAYERS),
                fields.positive("kv_heads", MAX_HEADS),
                training);
    }

    /**
     * Reads a set; the caller closes it.
     *
     * @throws InvalidInputException when a file is missing or broken, or does not belong to the manifest
     */
    public static DictionarySet read(Path folder) {
        DictionaryManifest manifest = readManifest(folder);
        JsonFields fields = fields(folder);
        boolean joint = joint(fields);
        int width = (joint ? Heads.JOINT : Heads.SHARED)
                .width(manifest.kvHeads(), fields.positive("d_head", MAX_WIDTH / manifest.kvHeads()));
        RopeStage rope = choice(fields, "rope", RopeStage.values());
        List<JsonFields> sites = fields.objects("sites");
        if (sites.isEmpty()) {
            throw fields.missing("sites");
        }
        List<Dictionary> read = new ArrayList<>();
        try {
            for (JsonFields entry : sites) {
                Site site = site(entry, manifest, joint);
                RopeStage stage = site.kind() == VectorKind.KEY ? rope : RopeStage.PRE;
                Dictionary dictionary = DictionaryFolder.read(folder.resolve(site.label()), site, stage);
                read.add(dictionary);
                if (dictionary.dHead() != width) {
                    throw new InvalidInputException("%s: d_in is %d where vectors of %s have %d; train the set again"
                            .formatted(folder.resolve(site.label()), dictionary.dHead(), MANIFEST, width));
                }
                if (dictionary.latents() != entry.integer("latents", 1, Integer.MAX_VALUE)) {
                    throw entry.invalid(
                            "latents",
                            "%s has d_sae %d; train the set again"
                                    .formatted(folder.resolve(site.label()), dictionary.latents()));
                }
            }
            DictionarySet set = new DictionarySet(read);
            if (!set.fingerprint().equals(fields.string("fingerprint"))) {
                throw fields.invalid(
                        "fingerprint",
                        "the weights beside it have %s: a file was changed or exchanged, copy the whole folder again"
                                .formatted(set.fingerprint()));
            }
            return set;
        } catch (RuntimeException e) {
            read.forEach(Dictionary::close);
            throw e;
        }
    }

    private static boolean joint(JsonFields fields) {
        Optional<String> heads = fields.optionalString(HEADS);
        if (heads.isPresent() && !heads.get().equals(Heads.JOINT.label())) {
            throw fields.invalid(HEADS, "'" + Heads.JOINT.label() + "' or nothing is needed");
        }
        return heads.isPresent();
    }

    private static Site site(JsonFields entry, DictionaryManifest manifest, boolean joint) {
        int layer = entry.integer("layer", 0, manifest.layers() - 1);
        VectorKind kind = choice(entry, "kind", VectorKind.values());
        Optional<Integer> head = entry.optionalInteger("head", 0, manifest.kvHeads() - 1);
        if (joint && head.isPresent()) {
            throw entry.invalid("head", "the set's KV heads are coded together");
        }
        return new Site(layer, kind, joint ? Site.JOINT_HEADS : head.orElse(Site.ALL_HEADS));
    }

    /**
     * Reads a set for a model; the caller closes it.
     *
     * @param modelName for the message
     * @param modelFingerprint of the model that the set must have been trained on
     * @param dHead width of that model's heads
     * @throws InvalidInputException as {@link #read(Path)}, and when the set was trained on another model or other head width
     */
    public static DictionarySet read(Path folder, String modelName, String modelFingerprint, int dHead) {
        DictionaryManifest manifest = readManifest(folder);
        int own = fields(folder).positive("d_head", MAX_WIDTH);
        if (own != dHead) {
            throw new InvalidInputException(
                    "%s: d_head is %d where %s has %d; use dictionaries that were trained on it ('sparrow train')"
                            .formatted(folder.resolve(MANIFEST), own, modelName, dHead));
        }
        if (!manifest.modelFingerprint().equals(modelFingerprint)) {
            throw new InvalidInputException(
                    "%s: the dictionaries were trained on '%s' (fingerprint %s), not on '%s' (%s); train some for it with 'sparrow train'"
                            .formatted(
                                    folder.resolve(MANIFEST),
                                    manifest.modelName(),
                                    manifest.modelFingerprint(),
                                    modelName,
                                    modelFingerprint));
        }
        return read(folder);
    }

    private static JsonFields fields(Path folder) {
        Path file = folder.resolve(MANIFEST);
        if (!Files.isRegularFile(file)) {
            throw new InvalidInputException(
                    folder + ": holds no " + MANIFEST + "; name a folder that 'sparrow train' wrote");
        }
        JsonFields fields = JsonFields.read(file);
        if (!fields.string("format").equals(FORMAT)) {
            throw fields.invalid("format", "'" + FORMAT + "' is needed");
        }
        if (fields.positive("version", Integer.MAX_VALUE) != VERSION) {
            throw fields.invalid(
                    "version", "this program reads version " + VERSION + "; use one that fits, or train again");
        }
        return fields;
    }

    private static <E extends Enum<E>> E choice(JsonFields fields, String field, E[] values) {
        String text = fields.string(field);
        for (E value : values) {
            if (value.name().toLowerCase(Locale.ROOT).equals(text)) {
                return value;
            }
        }
        throw fields.invalid(field, "one of " + List.of(values).toString().toLowerCase(Locale.ROOT) + " is needed");
    }

    private static Map<String, Object> content(
            DictionarySet set, DictionaryManifest manifest, DType dtype, String fingerprint) {
        List<Map<String, Object>> sites = new ArrayList<>();
        for (Dictionary dictionary : set.bySite().values()) {
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("layer", dictionary.site().layer());
            entry.put("kind", dictionary.site().kind().label());
            if (dictionary.site().heads() == Heads.EACH) {
                entry.put("head", dictionary.site().head());
            }
            entry.put("latents", dictionary.latents());
            sites.add(entry);
        }
        Map<String, Object> content = new LinkedHashMap<>();
        content.put("format", FORMAT);
        content.put("version", VERSION);
        content.put("model", Map.of("name", manifest.modelName(), "fingerprint", manifest.modelFingerprint()));
        content.put("layers", manifest.layers());
        content.put("kv_heads", manifest.kvHeads());
        content.put("d_head", set.joint() ? set.dHead() / manifest.kvHeads() : set.dHead());
        if (set.joint()) {
            content.put(HEADS, Heads.JOINT.label());
        }
        content.put("rope", set.rope().label());
        content.put("dtype", dtype.name());
        content.put("sites", sites);
        content.put("training", new TreeMap<>(manifest.training()));
        content.put("fingerprint", fingerprint);
        return content;
    }

    /** The fingerprint of what was stored: rounding to 16 bits changes the weights. */
    private static String storedFingerprint(Path folder, DictionarySet set) {
        List<Dictionary> stored = new ArrayList<>();
        try {
            for (Dictionary dictionary : set.bySite().values()) {
                stored.add(DictionaryFolder.read(
                        folder.resolve(dictionary.site().label()), dictionary.site(), dictionary.rope()));
            }
            return new DictionarySet(stored).fingerprint();
        } finally {
            stored.forEach(Dictionary::close);
        }
    }

    private static void replace(Path target, Path beside) throws IOException {
        Path old = target.resolveSibling(beside.getFileName() + ".old");
        boolean replaces = Files.exists(target);
        if (replaces) {
            Files.move(target, old);
        }
        Files.move(beside, target);
        if (replaces) {
            FolderTree.delete(old);
        }
    }

    private static boolean isEmptyFolder(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            return false;
        }
        try (Stream<Path> files = Files.list(folder)) {
            return files.findAny().isEmpty();
        }
    }

    private static void deleteTreeQuietly(Path folder) {
        try {
            FolderTree.delete(folder);
        } catch (IOException e) {
            LOG.warn("{}: cannot be removed ({}); remove it by hand", folder, e.getMessage());
        }
    }
}
