#!/usr/bin/env bash
# Starts the Sparrow KV of this folder on the Java runtime beside it. SPARROW_JAVA_OPTS adds JVM flags, such as -Xmx8g.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)

# In an empty environment bash finds programs in the usual folders, but hands them on only when told.
export PATH

# In the C locale the JVM would read arguments and file names as ASCII.
case ${LC_ALL:-${LC_CTYPE:-${LANG:-}}} in
    *[Uu][Tt][Ff]*) ;;
    *) export LC_ALL=C.UTF-8 ;;
esac

# libtorch's idle threads would spin on the cores that reading codes needs; a dense cache is libtorch's own.
case " $* " in
    *" --codec dense "* | *" --codec=dense "*) ;;
    *) export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}" ;;
esac

flags=("@$here/jvm.options" "-Dsparrow.home=$here")
classpath="$here/lib/*"
[ -t 2 ] && flags+=(-Dsparrow.stderr.terminal=true)
if [ -d "$here/tornadovm" ]; then
    flags+=("-Dsparrow.tornadovm=$here/tornadovm")
    # TornadoVM takes seconds to start: only commands that encode get it.
    case ${1:-} in
        bench | demo | devices | eval | generate | train)
            export TORNADOVM_HOME=$here/tornadovm
            classpath+=":$here/kernels/*"
            # Its flags name this folder by a placeholder, so that the folder can be moved.
            while IFS= read -r line; do
                case $line in
                    '' | '#'*) ;;
                    *)
                        line=${line#\"}
                        line=${line%\"}
                        flags+=("${line//@BUNDLE@/$here}")
                        ;;
                esac
            done <"$here/tornadovm.options"
            ;;
    esac
fi
read -ra extra <<<"${SPARROW_JAVA_OPTS:-}"
exec "$here/runtime/bin/java" "${flags[@]}" ${extra[@]+"${extra[@]}"} -cp "$classpath" io.sparrowkv.cli.Main "$@"
