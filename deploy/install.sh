#!/bin/sh
# Installs Castway on a Linux machine, or brings an installation up to date: the program, its settings (/etc/castway/castway.env), the user
# castway, the service, and the first user of the relay.
#
#   curl -fsSLO https://castway.example/releases/latest/download/install.sh
#   sh install.sh --dry-run
#   sudo sh install.sh
#
# Debian, Ubuntu and their relatives get the .deb, and other distributions the .tar.gz. Each file is checked with SHA256SUMS of its release.
# How to remove it is said at the end, and by `sh install.sh --help`.
set -eu
export LC_ALL=C
umask 022

RELEASES=https://castway.example/releases
# The oldest glibc that the programs start with (Debian 12, Ubuntu 24.04); elsewhere musl's program is installed.
OLDEST_GLIBC=2.36
# Where the .tar.gz goes; the package has places of its own.
PROGRAM=/usr/local/bin/castway
UNIT=/etc/systemd/system/castway.service
SETTINGS=/etc/castway/castway.env
DATA=/var/lib/castway
MAN=/usr/local/share/man/man1
# What Debian's packages ask before they start a service.
POLICY=/usr/sbin/policy-rc.d

usage() {
  cat <<END
usage: install.sh [--version VERSION] [--from PLACE] [--user NAME] [--no-start] [--dry-run]

  --version VERSION  install this version, e.g. 0.2.0, instead of the newest one
  --from PLACE       take the files from a folder, from one file (.deb or .tar.gz, with SHA256SUMS beside it) or from an https address
  --user NAME        add this user of the relay, and ask for a password; without it you are asked for a name
  --no-start         install everything, and start nothing
  --dry-run          say what would be done, and change nothing

Remove it: sudo apt-get remove castway (purge removes the settings and the database, too), or, where there is no apt-get:
  $(removal)
END
}

removal() {
  echo "sudo systemctl disable --now castway; sudo rm -f $PROGRAM $UNIT $MAN/castway*.1; the settings and the database stay in /etc/castway and $DATA"
}

say() { printf '%s\n' "install.sh: $*"; }
give_up() {
  printf '%s\n' "install.sh: $*" >&2
  exit 1
}

# Runs a command that changes this machine, or says that it would.
change() {
  if [ -n "$dry" ]; then
    say "would run: $*"
  else
    "$@"
  fi
}

has() { command -v "$1" >/dev/null 2>&1; }

# newer_or_same VERSION OTHER
newer_or_same() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | tail -n 1)" = "$1" ]; }

glibc() { getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p'; }

read_arguments() {
  version='' place='' user='' dry='' start=yes
  while [ $# -gt 0 ]; do
    case $1 in
      --version | --from | --user)
        [ -n "${2:-}" ] || give_up "$1 needs a value: sh install.sh --help"
        case $1 in
          --version) version=${2#v} ;;
          --from) place=$2 ;;
          --user) user=$2 ;;
        esac
        shift
        ;;
      --no-start) start='' ;;
      --dry-run) dry=yes ;;
      -h | --help)
        usage
        exit 0
        ;;
      *) give_up "$1 is no option of this script: sh install.sh --help lists them" ;;
    esac
    shift
  done
  case $version in
    *[!0-9A-Za-z.+-]*) give_up "$version is no version: write it like 0.2.0" ;;
  esac
  if [ -z "$place" ]; then
    place=$RELEASES/latest/download
    [ -z "$version" ] || place=$RELEASES/download/v$version
  fi
  case $place in
    https://*) ;;
    *://*) give_up "$place is not secure: only https addresses, folders and files are taken" ;;
    *)
      [ -e "$place" ] || give_up "there is no folder or file $place"
      case $place in /*) ;; *) place=$PWD/$place ;; esac
      ;;
  esac
  # castway reads .env of the folder that it runs in, and nobody has meant that one.
  cd /
}

# What this machine is: the names of its processor in the two kinds of files, and which kind it takes.
look_around() {
  [ "$(uname -s)" = Linux ] || give_up "Castway's programs are for Linux, and this is $(uname -s): build it from source instead"
  case $(uname -m) in
    x86_64 | amd64) debian_arch=amd64 arch=x86_64 ;;
    aarch64 | arm64) debian_arch=arm64 arch=aarch64 ;;
    *) give_up "there is no program for the processor $(uname -m): build it from source instead" ;;
  esac
  libc=gnu
  found=$(glibc)
  if [ -z "$found" ] || ! newer_or_same "$found" "$OLDEST_GLIBC"; then libc=musl; fi
  kind=tar
  if [ $libc = gnu ] && has dpkg && has apt-get; then kind=deb; fi
  if [ -z "$dry" ] && [ "$(id -u)" -ne 0 ]; then
    give_up "this needs root: sudo sh install.sh (or see what it would do: sh install.sh --dry-run)"
  fi
  for tool in sha256sum sed sort tail; do has $tool || give_up "$tool is missing: install it (coreutils, sed)"; done
  [ $kind = deb ] || for tool in tar gzip install; do has $tool || give_up "$tool is missing: install it"; done
  if [ $kind = deb ] && [ -e "$PROGRAM" ]; then
    give_up "$PROGRAM was installed without the package, and would be found before it. Remove it first: $(removal)"
  fi
}

# BusyBox has a wget that takes every certificate.
gnu_wget() { case $(wget --version 2>/dev/null) in "GNU Wget "*) ;; *) return 1 ;; esac; }

# fetch NAME: gets a file of the release into the temporary folder.
fetch() {
  case $place in
    https://*)
      if has curl; then
        curl -fsSL --proto '=https' --proto-redir '=https' --retry 2 --connect-timeout 30 --speed-limit 1 --speed-time 60 -o "$work/$1" "$place/$1" ||
          give_up "$place/$1 could not be downloaded completely. Nothing has been changed: try again, or download the files and use --from FOLDER"
      elif gnu_wget; then
        wget -q -S -T 60 -t 3 -O "$work/$1" "$place/$1" 2>"$work/answers" ||
          give_up "$place/$1 could not be downloaded completely. Nothing has been changed: try again, or download the files and use --from FOLDER"
        # wget follows redirects to http, and no option forbids that.
        [ -z "$(sed -n 'y/ACHILNOPT/achilnopt/; /^ *location: *http:/p' "$work/answers")" ] ||
          give_up "$place/$1 leads to an address without https, so it is not taken. Nothing has been changed: download the files and use --from FOLDER"
      else
        give_up "curl or wget is needed to download, and of wget the one of GNU: install curl, or download the files and use --from FOLDER"
      fi
      ;;
    *)
      [ -f "$place/$1" ] || give_up "there is no file $1 in $place"
      cp "$place/$1" "$work/$1"
      ;;
  esac
}

# Chooses the file of the release for this machine, gets it and checks it.
get() {
  wanted=''
  if [ -f "$place" ]; then
    wanted=$(basename "$place")
    place=$(dirname "$place")
    case $wanted in
      *.deb) kind=deb ;;
      *.tar.gz) kind=tar ;;
      *) give_up "$wanted is neither a .deb nor a .tar.gz of Castway" ;;
    esac
  fi
  fetch SHA256SUMS
  number=${version:-[0-9][0-9A-Za-z.+]*}
  # A dot of a version is a dot.
  number=$(printf '%s' "$number" | sed '/^\[/!s/[.+]/\\&/g')
  if [ -z "$wanted" ]; then
    case $kind in
      deb) pattern="castway_$number-[0-9][0-9]*_$debian_arch\\.deb" ;;
      tar) pattern="castway-$number-$arch-unknown-linux-$libc\\.tar\\.gz" ;;
    esac
    wanted=$(sed -n "s/^[0-9a-f]\\{64\\} [ *]\\($pattern\\)\$/\\1/p" "$work/SHA256SUMS" | sort -V | tail -n 1)
    [ -n "$wanted" ] || give_up "SHA256SUMS in $place names no file for this machine ($kind, $arch, $libc${version:+, version $version})"
  fi
  sum=$(sed -n "s/^\\([0-9a-f]\\{64\\}\\) [ *]$(printf '%s' "$wanted" | sed 's/[.+[*^$]/\\&/g')\$/\\1/p" "$work/SHA256SUMS")
  case $sum in
    '') give_up "SHA256SUMS in $place does not name $wanted, so it can't be checked" ;;
    *[!0-9a-f]*) give_up "SHA256SUMS in $place names $wanted more than once" ;;
  esac
  say "takes $wanted from $place"
  fetch "$wanted"
  printf '%s  %s\n' "$sum" "$work/$wanted" | sha256sum -c - >/dev/null 2>&1 ||
    give_up "$wanted is not the file that SHA256SUMS names: it is damaged or somebody has changed it. Nothing has been changed"
  say "its checksum is right"
}

# Has the package not start the service, unless this machine has a rule of its own for that. Whatever becomes of the rule of this script, it
# counts for castway alone, and while this script runs.
keep_stopped() {
  if [ -n "$dry" ]; then
    say "would keep the package from starting castway: with $POLICY, and without it again at the end"
    return 0
  fi
  # Nothing is written over, and no link is followed.
  if ! (set -C && : >"$POLICY") 2>/dev/null; then
    say "$POLICY is there already, and decides whether the package starts castway"
    return 0
  fi
  policy=$POLICY
  cat >"$POLICY" <<END
#!/bin/sh
# Made by install.sh --no-start of Castway (process $$), which removes it when it ends.
case "\$1 \$2" in
  castway.service\ *start | castway\ *start) if kill -0 $$ 2>/dev/null; then exit 101; fi ;;
esac
exit 0
END
  chmod 0755 "$POLICY"
}

clean_up() {
  [ -z "$policy" ] || rm -f "$policy"
  policy=''
  rm -rf "$work"
}

# Whether systemd runs the service.
is_active() { [ -d /run/systemd/system ] && has systemctl && systemctl is-active -q castway; }

install_deb() {
  # _apt reads the file as a user of its own.
  chmod 0755 "$work"
  former=''
  if [ -z "$start" ]; then
    ! is_active || former=yes
    keep_stopped
  fi
  change env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --allow-downgrades -o Dpkg::Options::=--force-confold "$work/$wanted" ||
    give_up "apt-get could not install $wanted; what it said is above"
  program=/usr/bin/castway
}

# put MODE FILE DESTINATION: installs a file unless it is there already.
put() {
  if cmp -s "$2" "$3" 2>/dev/null; then return 0; fi
  changed=yes
  # A running program's file can't be written over, but it can be replaced.
  change install -D -m "$1" "$2" "$3.new"
  change mv -f "$3.new" "$3"
}

install_tar() {
  mkdir "$work/files"
  tar -xzf "$work/$wanted" -C "$work/files" --strip-components=1 || give_up "$wanted can't be unpacked"
  for file in castway castway.service castway.env; do
    [ -f "$work/files/$file" ] || give_up "$wanted has no $file, so it is not of Castway"
  done
  "$work/files/castway" --version >/dev/null 2>&1 || give_up "the program of $wanted does not start on this machine"
  changed=''
  if ! id -u castway >/dev/null 2>&1; then
    if has useradd; then
      change useradd --system --user-group --home-dir "$DATA" --no-create-home --shell "$(nologin)" castway
    elif has adduser; then
      # BusyBox
      change addgroup -S castway
      change adduser -S -D -H -G castway -h "$DATA" -s "$(nologin)" castway
    else
      give_up "there is neither useradd nor adduser, so the user castway can't be made"
    fi
  fi
  put 0755 "$work/files/castway" "$PROGRAM"
  put 0644 "$work/files/castway.service" "$UNIT"
  for page in "$work/files"/man/*.1; do [ ! -f "$page" ] || put 0644 "$page" "$MAN/$(basename "$page")"; done
  if [ -e "$SETTINGS" ]; then
    say "$SETTINGS stays as it is"
  else
    change install -d -m 0755 /etc/castway
    change install -m 0640 -o root -g castway "$work/files/castway.env" "$SETTINGS"
  fi
  [ -d "$DATA" ] || change install -d -m 0700 -o castway -g castway "$DATA"
  program=$PROGRAM
}

nologin() { for shell in /usr/sbin/nologin /sbin/nologin /bin/false; do [ ! -x $shell ] || break; done; echo "$shell"; }

# Starts the service, and leaves `running` empty where it could not.
serve() {
  running=''
  if [ -z "$start" ]; then
    if [ $kind = tar ]; then
      say "nothing was started: sudo systemctl enable --now castway"
    elif [ -n "$former" ]; then
      say "nothing was started, and what ran before still runs: sudo systemctl restart castway"
    elif [ -z "$dry" ] && is_active; then
      say "the package has started castway, as $POLICY of this machine allows: sudo systemctl stop castway"
    else
      say "nothing was started, and castway starts with the machine. To start it now: sudo systemctl start castway"
    fi
    return 0
  fi
  if [ ! -d /run/systemd/system ] || ! has systemctl; then
    say "systemd does not run here, so nothing was started. As root, this starts Castway:"
    say "  cd $DATA && CASTWAY_DATA_DIR=$DATA setpriv --reuid castway --regid castway --init-groups $program"
    return 0
  fi
  # The package has done that.
  if [ $kind = tar ]; then
    change systemctl daemon-reload
    change systemctl enable castway
    if [ -n "$changed" ]; then change systemctl restart castway; else change systemctl start castway; fi
  else
    change systemctl start castway
  fi
  [ -z "$dry" ] || return 0
  waited=0
  until "$program" health >/dev/null 2>&1; do
    waited=$((waited + 1))
    if [ $waited -gt 30 ] || systemctl is-failed -q castway; then
      give_up "Castway is installed and does not run. Why: sudo journalctl -u castway -n 30 (the settings are in $SETTINGS)"
    fi
    sleep 1
  done
  running=yes
}

# A person at the keyboard, also where this script came through a pipe.
can_ask() { [ -z "$dry" ] && [ -r /dev/tty ] && (: </dev/tty) 2>/dev/null; }

first_user() {
  if [ -n "$dry" ]; then
    say "would ask for the first user and a password, and run: castway user add NAME"
    return 0
  fi
  if [ -z "$running" ]; then
    say "add a user once it runs: sudo castway user add NAME"
    return 0
  fi
  if [ -z "$user" ] && can_ask && [ "$("$program" user list --json 2>/dev/null)" = "[]" ]; then
    printf '%s' "Name of the first user, who may use the relay for any peer (empty: none; casts need no user): "
    read -r user </dev/tty || user=''
  fi
  [ -n "$user" ] || return 0
  if can_ask; then
    "$program" user add "$user" </dev/tty || say "the user $user was not added: sudo castway user add $user"
  else
    say "nobody is here to type a password: sudo castway user add $user"
  fi
}

finish() {
  say ''
  if [ -n "$dry" ]; then
    say "this was a dry run: nothing has been changed"
    return 0
  fi
  # Its check from outside waits for a phone.
  [ -z "$running" ] || "$program" doctor --no-wait || say "castway doctor has found something to do; it is said above"
  say "Castway is installed. Check it from outside, too: sudo castway doctor. Settings: $SETTINGS, then: sudo systemctl restart castway. The start-up report, with the pages to open: sudo journalctl -u castway"
  if [ $kind = deb ]; then
    say "Remove it: sudo apt-get remove castway (purge removes the settings and the database, too)"
  else
    say "Remove it: $(removal)"
  fi
}

main() {
  read_arguments "$@"
  work=$(mktemp -d "${TMPDIR:-/tmp}/castway-install.XXXXXX")
  policy=''
  trap clean_up EXIT
  trap 'exit 130' INT TERM HUP
  look_around
  get
  "install_$kind"
  serve
  first_user
  finish
}

# Nothing runs before the last line is here, so an interrupted download of this script does nothing.
main "$@"
