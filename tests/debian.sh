# shellcheck shell=bash
# Sourced by the scripts that make trees of Debian: what debootstrap makes, whom
# its programs trust, and namespaces that leave nothing behind.
suite=bookworm
# Whom this host trusts, and where a tree has that: in no place of a package,
# which would write its own over it.
host_authorities=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
authorities=/usr/local/share/host-authorities.crt

# alone LOCK ARGUMENT...: runs the calling script in namespaces of its own, and
# no other with the same lock meanwhile: whatever becomes of it, no process and
# no mount is left. The script has gone to its own folder before.
alone() {
    local lock=$1
    shift
    if [ -z "${ALONE:-}" ]; then
        if ! unshare --mount true; then
            echo "${0##*/}: a tree of Debian is made and entered with mounts of its own: run it as root" >&2
            exit 1
        fi
        exec 9>"$lock"
        flock --nonblock 9 || { echo "waiting for another run in this clone" >&2 && flock 9; }
        ALONE=1 exec unshare --mount --pid --fork --kill-child --mount-proc "./${0##*/}" "$@"
    fi
    # The first process of a namespace ends by no signal that it does not take.
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# debian_sources: this host's apt sources of that Debian and of its updates.
debian_sources() {
    apt-get indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
        grep -E "^deb [^ ]+ $suite(-updates|-security)? main$" | sort -u
}

# debian_tree FOLDER LOG: the smallest Debian there; what is installed later
# comes from the same places, by the same way.
debian_tree() {
    local sources mirror
    sources=$(debian_sources) || sources="deb http://deb.debian.org/debian/ $suite main"
    mirror=$(awk -v suite="$suite" '$3 == suite { print $2; exit }' <<<"$sources")
    rm -rf --one-file-system "$1"
    debootstrap --variant=minbase "$suite" "$1" "$mirror" >"$2" || { tail -n 20 "$2" >&2 && exit 1; }
    echo "$sources" >"$1/etc/apt/sources.list"
    apt-config dump | grep -E '^Acquire::https?::' >"$1/etc/apt/apt.conf.d/90host" || true
    # Whatever is lost when this machine stops is made anew.
    echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/90unsafe-io"
    rm -rf "$1"/var/{cache/apt,lib/apt/lists}/*
}

# trust: the variables by which what fetches packages in a tree trusts whom this
# host trusts, once its $authorities are there.
trust() {
    [ ! -e "$host_authorities" ] || printf '%s\n' {SSL_CERT_FILE,NODE_EXTRA_CA_CERTS,npm_config_cafile,CARGO_HTTP_CAINFO,PIP_CERT}="$authorities"
}
