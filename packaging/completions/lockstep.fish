# Completion of lockstep(1) for fish.
# Made from the help of the commands, by:
# go test ./cmd/lockstep -run Completion -update

# Whether the words so far are these and no more.
function __lockstep_at
    set -l words (commandline -opc)
    test "$words[2..-1]" = "$argv"
end

# Whether the words so far begin with these.
function __lockstep_in
    set -l words (commandline -opc)
    set -l count (count $argv)
    test (count $words) -gt $count; or return 1
    set -l begin $words[2..(math $count + 1)]
    test "$begin" = "$argv"
end

# The same, and there may be options: a word that is none and stands behind none
# is the first argument, and ends them.
function __lockstep_options
    __lockstep_in $argv; or return 1
    set -l words (commandline -opc)
    for i in (seq (math (count $argv) + 2) (count $words))
        string match -q -- '-*' $words[$i]; and continue
        string match -q -- '-*' $words[(math $i - 1)]; or return 1
    end
    return 0
end

complete -c lockstep -f

complete -c lockstep -n '__lockstep_at' -a serve -d 'Answer RADIUS requests until SIGTERM'
complete -c lockstep -n '__lockstep_at' -a check -d 'Read the configuration, print what is wrong with it and how strong it is, and exit'
complete -c lockstep -n '__lockstep_at' -a demo -d 'Try it without installing anything'
complete -c lockstep -n '__lockstep_at' -a login -d 'Ask a RADIUS server as an appliance would, challenges included'
complete -c lockstep -n '__lockstep_at' -a user -d 'Enroll people, one or many, and revoke; see how they stand, say why a code is refused, put the clock of a device right, unlock'
complete -c lockstep -n '__lockstep_at' -a doctor -d 'Say what is wrong with clocks, directory, store and clients, and what to do about it'
complete -c lockstep -n '__lockstep_at' -a store -d 'Back up what is kept of each key, put it back, or copy it to another store'
complete -c lockstep -n '__lockstep_at' -a audit -d 'Check that nothing in an audit trail was changed or left out'
complete -c lockstep -n '__lockstep_at' -a keygen -d 'Make the private key that opens sealed keys, and print the public key that enrolment needs'
complete -c lockstep -n '__lockstep_at' -a version -d 'Say which build this is'
complete -c lockstep -n '__lockstep_at' -a help -d 'List the commands'

complete -c lockstep -n '__lockstep_at user' -a enroll -d 'Make a key for USER, show it as a QR code, and write it to the directory once a code has shown that it has arrived'
complete -c lockstep -n '__lockstep_at user' -a revoke -d 'Remove all keys of USER from the directory'
complete -c lockstep -n '__lockstep_at user' -a rewrap -d 'Seal all keys of the directory anew'
complete -c lockstep -n '__lockstep_at user' -a show -d 'How USER stands'
complete -c lockstep -n '__lockstep_at user' -a explain -d 'Ask for a code of USER and say what it is'
complete -c lockstep -n '__lockstep_at user' -a resync -d 'Ask for two codes in a row and learn from them where the clock of the device is'
complete -c lockstep -n '__lockstep_at user' -a list -d 'All enrolled users, a line each'
complete -c lockstep -n '__lockstep_at user' -a unlock -d 'Forget the failures of USER'

complete -c lockstep -n '__lockstep_at store' -a backup -d 'Writes what is kept of each key to the file BACKUP, or to standard output for "-"'
complete -c lockstep -n '__lockstep_at store' -a restore -d 'Puts what "store backup" wrote in the place of the state file, or into a cluster where there is nothing below store.prefix'
complete -c lockstep -n '__lockstep_at store' -a copy -d 'Copies what is kept of each key, its spent codes above all, from one store to another, and overwrites nothing there'

complete -c lockstep -n '__lockstep_at audit' -a verify -d 'Checks the hash chain of an audit trail'

complete -c lockstep -n '__lockstep_options serve' -o config -r -F -d 'read the configuration from FILE'

complete -c lockstep -n '__lockstep_options check' -o config -r -F -d 'read the configuration from FILE'

complete -c lockstep -n '__lockstep_options demo' -o once -d 'exit when it has been shown: 0 only if all of it held'

complete -c lockstep -n '__lockstep_options login' -o calling-station -x -d 'send as Calling-Station-Id'
complete -c lockstep -n '__lockstep_options login' -o nas-id -x -d 'send as NAS-Identifier'
complete -c lockstep -n '__lockstep_options login' -o secret-file -r -F -d 'read the shared secret from FILE (required)'
complete -c lockstep -n '__lockstep_options login' -o server -x -d 'ask the server at ADDR, host or host:port'
complete -c lockstep -n '__lockstep_options login' -o timeout -x -d 'wait so long before each retransmission'
complete -c lockstep -n '__lockstep_options login' -o tries -x -d 'send so many times'

complete -c lockstep -n '__lockstep_options user enroll' -o add -d 'add a key to those that the user has, where the schema allows several'
complete -c lockstep -n '__lockstep_options user enroll' -o algorithm -x -a 'SHA1 SHA256 SHA512' -d 'SHA1, SHA256 or SHA512; many authenticators know SHA1 only'
complete -c lockstep -n '__lockstep_options user enroll' -o bind-dn -x -d 'write to the directory as DN and not as the service account'
complete -c lockstep -n '__lockstep_options user enroll' -o bind-password-file -r -F -d 'read the password of -bind-dn from FILE; asked for if absent'
complete -c lockstep -n '__lockstep_options user enroll' -o config -r -F -d 'read the configuration from FILE'
complete -c lockstep -n '__lockstep_options user enroll' -o digits -x -a '6 8' -d '6 or 8'
complete -c lockstep -n '__lockstep_options user enroll' -o format -x -a 'csv pskc freeipa privacyidea google-authenticator otpauth' -d 'what FILE is: csv, pskc, freeipa, privacyidea, google-authenticator or otpauth; found out if absent'
complete -c lockstep -n '__lockstep_options user enroll' -o from -r -F -d 'enrol all who are in FILE'
complete -c lockstep -n '__lockstep_options user enroll' -o issuer -x -d 'the NAME that the authenticator shows beside the user\'s'
complete -c lockstep -n '__lockstep_options user enroll' -o json -d 'print what came of each as JSON'
complete -c lockstep -n '__lockstep_options user enroll' -o key-file -r -F -d 'read the shared key that FILE is encrypted with from FILE'
complete -c lockstep -n '__lockstep_options user enroll' -o ldif -d 'write nothing: print the change as LDIF for ldapmodify, and all else to stderr'
complete -c lockstep -n '__lockstep_options user enroll' -o out -x -a '(__fish_complete_directories)' -d 'write the QR codes of new keys to folder DIR, an SVG file for each user'
complete -c lockstep -n '__lockstep_options user enroll' -o password-file -r -F -d 'read the password that FILE is encrypted with from FILE; asked for if absent'
complete -c lockstep -n '__lockstep_options user enroll' -o pending -d 'write the key at once, without a code'
complete -c lockstep -n '__lockstep_options user enroll' -o period -x -d 'how long each code lasts, 15s to 120s; many authenticators know 30s only'
complete -c lockstep -n '__lockstep_options user enroll' -o qr -r -F -d 'write the QR code to FILE, a new one that ends in .png or .svg, and print no key'
complete -c lockstep -n '__lockstep_options user enroll' -o replace -d 'replace the keys that the user has'
complete -c lockstep -n '__lockstep_options user enroll' -o serial -x -d 'what the token is called: a serial NUMBER, written where the schema has a place for it'
complete -c lockstep -n '__lockstep_options user enroll' -o skip-bad -d 'enrol the others, if some in FILE cannot be'
complete -c lockstep -n '__lockstep_options user enroll' -o user -x -d 'the NAME of whose google-authenticator FILE is'

complete -c lockstep -n '__lockstep_options user revoke' -o bind-dn -x -d 'write to the directory as DN and not as the service account'
complete -c lockstep -n '__lockstep_options user revoke' -o bind-password-file -r -F -d 'read the password of -bind-dn from FILE; asked for if absent'
complete -c lockstep -n '__lockstep_options user revoke' -o config -r -F -d 'read the configuration from FILE'
complete -c lockstep -n '__lockstep_options user revoke' -o ldif -d 'write nothing: print the change as LDIF for ldapmodify, and all else to stderr'

complete -c lockstep -n '__lockstep_options user rewrap' -o bind-dn -x -d 'write to the directory as DN and not as the service account'
complete -c lockstep -n '__lockstep_options user rewrap' -o bind-password-file -r -F -d 'read the password of -bind-dn from FILE; asked for if absent'
complete -c lockstep -n '__lockstep_options user rewrap' -o config -r -F -d 'read the configuration from FILE'
complete -c lockstep -n '__lockstep_options user rewrap' -o dry-run -d 'write nothing: say what would be done'
complete -c lockstep -n '__lockstep_options user rewrap' -o json -d 'print JSON'

complete -c lockstep -n '__lockstep_options user show' -o config -r -F -d 'read the configuration from FILE'
complete -c lockstep -n '__lockstep_options user show' -o json -d 'print JSON'

complete -c lockstep -n '__lockstep_options user explain' -o config -r -F -d 'read the configuration from FILE'
complete -c lockstep -n '__lockstep_options user explain' -o json -d 'print JSON'

complete -c lockstep -n '__lockstep_options user resync' -o config -r -F -d 'read the configuration from FILE'
complete -c lockstep -n '__lockstep_options user resync' -o reset -d 'ask for no codes: forget what was learned of the device\'s clock'

complete -c lockstep -n '__lockstep_options user list' -o config -r -F -d 'read the configuration from FILE'
complete -c lockstep -n '__lockstep_options user list' -o json -d 'print JSON'

complete -c lockstep -n '__lockstep_options user unlock' -o config -r -F -d 'read the configuration from FILE'

complete -c lockstep -n '__lockstep_options doctor' -o config -r -F -d 'read the configuration from FILE'
complete -c lockstep -n '__lockstep_options doctor' -o json -d 'print JSON'
complete -c lockstep -n '__lockstep_options doctor' -o strict -d 'exit with 1 for warnings, too'
complete -c lockstep -n '__lockstep_options doctor' -o user -x -d 'try what NAME may do with keys in the directory'

complete -c lockstep -n '__lockstep_options store backup' -o config -r -F -d 'read the configuration from FILE'
complete -c lockstep -n '__lockstep_options store backup' -o force -d 'replace BACKUP if it is there'
complete -c lockstep -n '__lockstep_options store backup' -o json -d 'print JSON, to stderr where BACKUP goes to stdout'
complete -c lockstep -n '__lockstep_in store backup' -F

complete -c lockstep -n '__lockstep_options store restore' -o clock-was-ahead -d 'take a backup of the future: the clock of its server was wrong, and this machine\'s is right'
complete -c lockstep -n '__lockstep_options store restore' -o config -r -F -d 'read the configuration from FILE'
complete -c lockstep -n '__lockstep_options store restore' -o json -d 'print JSON'
complete -c lockstep -n '__lockstep_options store restore' -o yes -d 'do not ask'
complete -c lockstep -n '__lockstep_in store restore' -F

complete -c lockstep -n '__lockstep_options store copy' -o config -r -F -d 'read the configuration from FILE'
complete -c lockstep -n '__lockstep_in store copy' -a 'bolt etcd'

complete -c lockstep -n '__lockstep_options audit verify' -o head -x -d 'want a record with this HASH, as the log or a syslog server has it'
complete -c lockstep -n '__lockstep_options audit verify' -o json -d 'print what was counted, as JSON'
complete -c lockstep -n '__lockstep_in audit verify' -F

complete -c lockstep -n '__lockstep_options keygen' -o out -r -F -d 'write a new private key to FILE'
complete -c lockstep -n '__lockstep_options keygen' -o public -r -F -d 'print the public keys of the private keys in FILE'

complete -c lockstep -n '__lockstep_options version' -o json -d 'print JSON'
