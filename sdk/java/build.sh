#!/bin/sh
# Builds and tests the SDK with a JDK and Debian's jars alone, where Maven has no repository to ask.
#
#   build.sh compile     the classes, tests and contract driver included
#   build.sh test        that, and the JUnit tests
#   build.sh classpath   that, and the class path of all of them on stdout
#   build.sh jar         build/task-scheduler-sdk.jar, with the SDK alone
#
# Progress goes to stderr. It ends with 3 where there is no JDK.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=$here/build
jars=${TASK_SCHEDULER_SDK_JARS:-/usr/share/java}
packages="libjackson2-databind-java junit5"
library=$jars/jackson-databind.jar:$jars/jackson-core.jar:$jars/jackson-annotations.jar
junit=$jars/junit-jupiter-api.jar:$jars/junit-platform-commons.jar:$jars/opentest4j.jar:$jars/apiguardian-api.jar
launcher=$jars/junit-jupiter-engine.jar:$jars/junit-platform-engine.jar:$jars/junit-platform-launcher.jar
launcher=$launcher:$jars/junit-platform-console.jar:$jars/junit-platform-reporting.jar
launcher=$launcher:$jars/opentest4j-reporting-events.jar:$jars/picocli.jar

# Programs of a few seconds: what a compiler of the second tier would gain, it would not earn.
quick="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

say() {
    echo "sdk/java: $*" >&2
}

missing() {
    for jar in $(echo "$library:$junit:$launcher" | tr : ' '); do
        [ -e "$jar" ] || return 0
    done
    return 1
}

require() {
    if ! command -v javac >/dev/null; then
        say "NOT BUILT, NOT TESTED: there is no JDK; install openjdk-17-jdk-headless or another one of 17 or later"
        exit 3
    fi
    missing || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "jars are missing in $jars; install the packages $packages, or name a directory in TASK_SCHEDULER_SDK_JARS"
        exit 1
    fi
    say "apt-get install $packages"
    install >&2
}

# Another apt-get may hold the lock of the lists, on which apt-get update does not wait.
install() {
    for pause in 2 5 10 20 0; do
        # shellcheck disable=SC2086 # two words, two packages
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends \
            -o DPkg::Lock::Timeout=120 $packages && return 0
        sleep "$pause"
    done
    say "apt-get has failed five times; run it by hand: apt-get install $packages"
    return 1
}

# $1: the name of the part; $2: its class path; $3: where its sources are.
part() {
    say "compiling $1"
    mkdir -p "$out/$1"
    find "$3" -name '*.java' > "$out/$1.sources"
    # shellcheck disable=SC2086 # several options
    javac $(for option in $quick; do echo "-J$option"; done) --release 17 -Xlint:all -Werror -proc:none -encoding UTF-8 -cp "$2" -d "$out/$1" "@$out/$1.sources" >&2
}

# Everything, where something has changed; one at a time, for tests run beside each other.
compile() {
    mkdir -p "$out"
    exec 9> "$out/lock"
    flock 9
    require
    sum=$(find "$here/src" "$here/contract" "$here/build.sh" -type f -exec cksum {} + | sort | cksum)
    [ "$(cat "$out/sum" 2>/dev/null)" = "$sum" ] && return 0
    rm -rf "$out/sum" "$out/main" "$out/test" "$out/contract"
    part main "$library" "$here/src/main/java"
    part test "$out/main:$library:$junit" "$here/src/test/java"
    part contract "$out/main:$library" "$here/contract"
    echo "$sum" > "$out/sum"
}

case ${1:-} in
compile)
    compile
    ;;
test)
    compile
    # shellcheck disable=SC2086 # several options
    java $quick -cp "$out/test:$out/main:$library:$junit:$launcher" org.junit.platform.console.ConsoleLauncher \
        --scan-class-path "$out/test" --fail-if-no-tests --disable-banner --details=tree --disable-ansi-colors \
        --config junit.jupiter.execution.parallel.enabled=true \
        --config junit.jupiter.execution.parallel.mode.default=concurrent \
        --config junit.jupiter.execution.parallel.config.strategy=fixed \
        --config junit.jupiter.execution.parallel.config.fixed.parallelism=6
    ;;
classpath)
    compile
    echo "$out/contract:$out/main:$library"
    ;;
jar)
    compile
    jar --create --file "$out/task-scheduler-sdk.jar" -C "$out/main" .
    ;;
*)
    sed -n '2,/^set/{s/^# \{0,1\}//;/^set/d;p;}' "$0" >&2
    exit 2
    ;;
esac
