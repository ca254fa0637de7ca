# Completion of lockstep(1) for bash.
# Made from the help of the commands, by:
# go test ./cmd/lockstep -run Completion -update

_lockstep_fill() { # KIND [WORD ...]: what the word at the cursor may become
	case $1 in
	files)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	folders)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		;;
	words)
		shift
		mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur")
		;;
	esac
}

_lockstep_options() { # COMMAND: its options, those of them with a value, and its arguments
	case $1 in
	"serve")
		options="-config"
		valued="-config"
		;;
	"check")
		options="-config"
		valued="-config"
		;;
	"demo")
		options="-once"
		;;
	"login")
		options="-calling-station -nas-id -secret-file -server -timeout -tries"
		valued="-calling-station -nas-id -secret-file -server -timeout -tries"
		argument="nothing"
		;;
	"user enroll")
		options="-add -algorithm -bind-dn -bind-password-file -config -digits -format -from -issuer -json -key-file -ldif -out -password-file -pending -period -qr -replace -serial -skip-bad -user"
		valued="-algorithm -bind-dn -bind-password-file -config -digits -format -from -issuer -key-file -out -password-file -period -qr -serial -user"
		argument="nothing"
		;;
	"user revoke")
		options="-bind-dn -bind-password-file -config -ldif"
		valued="-bind-dn -bind-password-file -config"
		argument="nothing"
		;;
	"user rewrap")
		options="-bind-dn -bind-password-file -config -dry-run -json"
		valued="-bind-dn -bind-password-file -config"
		;;
	"user show")
		options="-config -json"
		valued="-config"
		argument="nothing"
		;;
	"user explain")
		options="-config -json"
		valued="-config"
		argument="nothing"
		;;
	"user resync")
		options="-config -reset"
		valued="-config"
		argument="nothing"
		;;
	"user list")
		options="-config -json"
		valued="-config"
		;;
	"user unlock")
		options="-config"
		valued="-config"
		argument="nothing"
		;;
	"doctor")
		options="-config -json -strict -user"
		valued="-config -user"
		;;
	"store backup")
		options="-config -force -json"
		valued="-config"
		argument="files"
		;;
	"store restore")
		options="-clock-was-ahead -config -json -yes"
		valued="-config"
		argument="files"
		;;
	"store copy")
		options="-config"
		valued="-config"
		argument="words bolt etcd"
		;;
	"audit verify")
		options="-head -json"
		valued="-head"
		argument="files"
		;;
	"keygen")
		options="-out -public"
		valued="-out -public"
		;;
	"version")
		options="-json"
		;;
	"help")
		;;
	esac
}

_lockstep_value() { # COMMAND -OPTION: what its value may be
	case "$1 $2" in
	"serve -config") _lockstep_fill files ;;
	"check -config") _lockstep_fill files ;;
	"login -secret-file") _lockstep_fill files ;;
	"user enroll -algorithm") _lockstep_fill words SHA1 SHA256 SHA512 ;;
	"user enroll -bind-password-file") _lockstep_fill files ;;
	"user enroll -config") _lockstep_fill files ;;
	"user enroll -digits") _lockstep_fill words 6 8 ;;
	"user enroll -format") _lockstep_fill words csv pskc freeipa privacyidea google-authenticator otpauth ;;
	"user enroll -from") _lockstep_fill files ;;
	"user enroll -key-file") _lockstep_fill files ;;
	"user enroll -out") _lockstep_fill folders ;;
	"user enroll -password-file") _lockstep_fill files ;;
	"user enroll -qr") _lockstep_fill files ;;
	"user revoke -bind-password-file") _lockstep_fill files ;;
	"user revoke -config") _lockstep_fill files ;;
	"user rewrap -bind-password-file") _lockstep_fill files ;;
	"user rewrap -config") _lockstep_fill files ;;
	"user show -config") _lockstep_fill files ;;
	"user explain -config") _lockstep_fill files ;;
	"user resync -config") _lockstep_fill files ;;
	"user list -config") _lockstep_fill files ;;
	"user unlock -config") _lockstep_fill files ;;
	"doctor -config") _lockstep_fill files ;;
	"store backup -config") _lockstep_fill files ;;
	"store restore -config") _lockstep_fill files ;;
	"store copy -config") _lockstep_fill files ;;
	"keygen -out") _lockstep_fill files ;;
	"keygen -public") _lockstep_fill files ;;
	esac
}

_lockstep() {
	local options= valued= argument=
	local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} first=2
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		_lockstep_fill words serve check demo login user doctor store audit keygen version help
		return
	fi
	case $command in
	user)
		if ((COMP_CWORD == 2)); then
			_lockstep_fill words enroll revoke rewrap show explain resync list unlock
			return
		fi
		command+=" ${COMP_WORDS[2]}" first=3
		;;
	store)
		if ((COMP_CWORD == 2)); then
			_lockstep_fill words backup restore copy
			return
		fi
		command+=" ${COMP_WORDS[2]}" first=3
		;;
	audit)
		if ((COMP_CWORD == 2)); then
			_lockstep_fill words verify
			return
		fi
		command+=" ${COMP_WORDS[2]}" first=3
		;;
	esac
	_lockstep_options "$command"

	# bash cuts words at = and at :, which become words of their own.
	local i word option= arguments=
	for ((i = first; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $word == [=:] || ${COMP_WORDS[i - 1]} == : ]]; then
			continue
		elif [[ $option ]]; then
			option=
		elif [[ $word == -* ]]; then
			option=${word/#--/-}
			[[ " $valued " == *" $option "* ]] || option=
		else
			arguments=1
		fi
	done
	if [[ $argument == words* && ($cur == : || ${COMP_WORDS[COMP_CWORD - 1]} == :) ]]; then
		argument=files # of bolt:FILE
	fi
	[[ $cur == [=:] ]] && cur=

	if [[ $option ]]; then
		_lockstep_value "$command" "$option"
	elif [[ $arguments ]]; then
		_lockstep_fill $argument # options come first
	elif [[ $cur == --* ]]; then
		options=" $options"
		_lockstep_fill words "${options// -/ --}"
	elif [[ $cur == -* || ! $argument ]]; then
		_lockstep_fill words "$options"
	else
		_lockstep_fill $argument
	fi
}

complete -F _lockstep lockstep
