package replyattr

import "strings"

// byName finds an attribute of the dictionary by its name in lower case.
var byName = func() map[string]int {
	m := make(map[string]int, len(known))
	for i, s := range known {
		m[strings.ToLower(s.name)] = i
	}
	return m
}()

// The values that have names.
var (
	offOn       = map[string]uint32{"Disabled": 0, "Enabled": 1}
	serviceType = map[string]uint32{
		"Login-User": 1, "Framed-User": 2, "Callback-Login-User": 3, "Callback-Framed-User": 4, "Outbound-User": 5,
		"Administrative-User": 6, "NAS-Prompt-User": 7, "Authenticate-Only": 8, "Callback-NAS-Prompt": 9,
		"Call-Check": 10, "Callback-Administrative": 11,
	}
	framedProtocol = map[string]uint32{"PPP": 1, "SLIP": 2, "ARAP": 3}
	framedRouting  = map[string]uint32{"None": 0, "Broadcast": 1, "Listen": 2, "Broadcast-Listen": 3}
	compression    = map[string]uint32{"None": 0, "Van-Jacobson-TCP-IP": 1, "IPX-Header-Compression": 2, "Stac-LZS": 3}
	loginService   = map[string]uint32{
		"Telnet": 0, "Rlogin": 1, "TCP-Clear": 2, "PortMaster": 3, "LAT": 4, "X25-PAD": 5, "X25-T3POS": 6, "TCP-Clear-Quiet": 8,
	}
	termination = map[string]uint32{"Default": 0, "RADIUS-Request": 1}
	tunnelType  = map[string]uint32{
		"PPTP": 1, "L2F": 2, "L2TP": 3, "ATMP": 4, "VTP": 5, "AH": 6, "IP": 7, "MIN-IP": 8, "ESP": 9, "GRE": 10,
		"DVS": 11, "IP-in-IP": 12,
		"VLAN": 13, // RFC 3580, section 3.31
	}
	tunnelMedium = map[string]uint32{"IPv4": 1, "IPv6": 2, "IEEE-802": 6}
	ingress      = map[string]uint32{"Enabled": 1, "Disabled": 2} // RFC 4675, section 2.2
	splitTunnel  = map[string]uint32{"No-Split-Tunneling": 0, "Split-Tunneling": 1, "Local-LAN-Permitted": 2}
	f5Role       = map[string]uint32{
		"Administrator": 0, "Resource-Admin": 20, "User-Manager": 40, "Auditor": 80, "Manager": 100, "App-Editor": 300,
		"Advanced-Operator": 350, "Operator": 400, "Firewall-Manager": 450, "Certificate-Manager": 500,
		"IRule-Manager": 510, "Guest": 700, "No-Access": 900,
	}
	h3cPrivilege = map[string]uint32{"Visit": 0, "Monitor": 1, "System": 2, "Manage": 3}
)

// The vendors, by their enterprise numbers
// (https://www.iana.org/assignments/enterprise-numbers).
const (
	cisco     = 9
	hp        = 11
	citrix    = 66
	microsoft = 311
	zyxel     = 890
	brocade   = 1588
	extreme   = 1916
	foundry   = 1991
	huawei    = 2011
	checkPt   = 2620
	juniper   = 2636
	asa       = 3076
	netscreen = 3224
	f5        = 3375
	force10   = 6027
	infoblox  = 7779
	sonicWall = 8741
	fortinet  = 12356
	pfSense   = 13644
	wispr     = 14122
	airespace = 14179
	blueCoat  = 14501
	aruba     = 14823
	mikrotik  = 14988
	riverbed  = 17163
	cambium   = 17713
	ruckus    = 25053
	paloAlto  = 25461
	h3c       = 25506
	arista    = 30065
)

// known is the dictionary. A test holds its names and numbers to those of
// FreeRADIUS where that is installed.
var known = []spec{
	// RFC 2865
	{"Service-Type", 0, 6, number, serviceType},
	{"Framed-Protocol", 0, 7, number, framedProtocol},
	{"Framed-IP-Address", 0, 8, ipv4, nil},
	{"Framed-IP-Netmask", 0, 9, ipv4, nil},
	{"Framed-Routing", 0, 10, number, framedRouting},
	{"Filter-Id", 0, 11, text, nil},
	{"Framed-MTU", 0, 12, number, nil},
	{"Framed-Compression", 0, 13, number, compression},
	{"Login-IP-Host", 0, 14, ipv4, nil},
	{"Login-Service", 0, 15, number, loginService},
	{"Login-TCP-Port", 0, 16, number, nil},
	{"Reply-Message", 0, 18, text, nil},
	{"Callback-Number", 0, 19, text, nil},
	{"Callback-Id", 0, 20, text, nil},
	{"Framed-Route", 0, 22, text, nil},
	{"Class", 0, 25, class, nil},
	{"Session-Timeout", 0, 27, number, nil},
	{"Idle-Timeout", 0, 28, number, nil},
	{"Termination-Action", 0, 29, number, termination},
	{"Port-Limit", 0, 62, number, nil},

	// RFC 2868
	{"Tunnel-Type", 0, 64, taggedNumber, tunnelType},
	{"Tunnel-Medium-Type", 0, 65, taggedNumber, tunnelMedium},
	{"Tunnel-Client-Endpoint", 0, 66, taggedText, nil},
	{"Tunnel-Server-Endpoint", 0, 67, taggedText, nil},
	{"Tunnel-Private-Group-Id", 0, 81, taggedText, nil},
	{"Tunnel-Assignment-Id", 0, 82, taggedText, nil},
	{"Tunnel-Preference", 0, 83, taggedNumber, nil},
	{"Tunnel-Client-Auth-Id", 0, 90, taggedText, nil},
	{"Tunnel-Server-Auth-Id", 0, 91, taggedText, nil},

	// RFC 2869
	{"Configuration-Token", 0, 78, text, nil},
	{"Acct-Interim-Interval", 0, 85, number, nil},
	{"NAS-Port-Id", 0, 87, text, nil},
	{"Framed-Pool", 0, 88, text, nil},

	// RFC 3162, RFC 4818, RFC 6911
	{"Framed-Interface-Id", 0, 96, octets, nil},
	{"Framed-IPv6-Prefix", 0, 97, prefix6, nil},
	{"Login-IPv6-Host", 0, 98, ipv6, nil},
	{"Framed-IPv6-Route", 0, 99, text, nil},
	{"Framed-IPv6-Pool", 0, 100, text, nil},
	{"Delegated-IPv6-Prefix", 0, 123, prefix6, nil},
	{"Framed-IPv6-Address", 0, 168, ipv6, nil},
	{"DNS-Server-IPv6-Address", 0, 169, ipv6, nil},
	{"Route-IPv6-Information", 0, 170, prefix6, nil},
	{"Delegated-IPv6-Prefix-Pool", 0, 171, text, nil},
	{"Stateful-IPv6-Address-Pool", 0, 172, text, nil},

	// RFC 4372, RFC 4675, RFC 4849
	{"Chargeable-User-Identity", 0, 89, class, nil},
	{"Egress-VLANID", 0, 56, number, nil},
	{"Ingress-Filters", 0, 57, number, ingress},
	{"Egress-VLAN-Name", 0, 58, text, nil},
	{"User-Priority-Table", 0, 59, octets, nil},
	{"NAS-Filter-Rule", 0, 92, text, nil},

	{"Cisco-AVPair", cisco, 1, text, nil},
	{"Cisco-In-ACL", cisco, 57, text, nil},
	{"Cisco-Out-ACL", cisco, 58, text, nil},

	{"ASA-Simultaneous-Logins", asa, 2, number, nil},
	{"ASA-Primary-DNS", asa, 5, ipv4, nil},
	{"ASA-Secondary-DNS", asa, 6, ipv4, nil},
	{"ASA-Tunneling-Protocols", asa, 11, number, nil},
	{"ASA-Banner1", asa, 15, text, nil},
	{"ASA-Group-Policy", asa, 25, text, nil},
	{"ASA-IPsec-Split-Tunnel-List", asa, 27, text, nil},
	{"ASA-IPsec-Default-Domain", asa, 28, text, nil},
	{"ASA-IPsec-Split-DNS-Names", asa, 29, text, nil},
	{"ASA-Banner2", asa, 36, text, nil},
	{"ASA-Authenticated-User-Idle-Timeout", asa, 50, number, nil},
	{"ASA-IPsec-Split-Tunneling-Policy", asa, 55, number, splitTunnel},
	{"ASA-DHCP-Network-Scope", asa, 61, ipv4, nil},
	{"ASA-WebVPN-URL-List", asa, 71, text, nil},
	{"ASA-WebVPN-Access-List", asa, 73, text, nil},
	{"ASA-Tunnel-Group-Lock", asa, 85, text, nil},
	{"ASA-Access-List-Inbound", asa, 86, text, nil},
	{"ASA-Access-List-Outbound", asa, 87, text, nil},
	{"ASA-SVC-Modules", asa, 127, text, nil},
	{"ASA-SVC-Profiles", asa, 128, text, nil},
	{"ASA-VLAN", asa, 140, number, nil},
	{"ASA-Member-Of", asa, 145, text, nil},
	{"ASA-Address-Pools", asa, 217, text, nil},
	{"ASA-IPv6-Address-Pools", asa, 218, text, nil},
	{"ASA-IPv6-VPN-Filter", asa, 219, text, nil},
	{"ASA-Privilege-Level", asa, 220, number, nil},

	{"Airespace-Wlan-Id", airespace, 1, number, nil},
	{"Airespace-QOS-Level", airespace, 2, number, nil},
	{"Airespace-Interface-Name", airespace, 5, text, nil},
	{"Airespace-ACL-Name", airespace, 6, text, nil},
	{"Airespace-Guest-Role-Name", airespace, 11, text, nil},

	{"Arista-AVPair", arista, 1, text, nil},
	{"Arista-User-Priv-Level", arista, 2, number, nil},
	{"Arista-User-Role", arista, 3, text, nil},
	{"Arista-CVP-Role", arista, 4, text, nil},

	{"Aruba-User-Role", aruba, 1, text, nil},
	{"Aruba-User-Vlan", aruba, 2, number, nil},
	{"Aruba-Priv-Admin-User", aruba, 3, number, nil},
	{"Aruba-Admin-Role", aruba, 4, text, nil},
	{"Aruba-Named-User-Vlan", aruba, 9, text, nil},
	{"Aruba-CPPM-Role", aruba, 23, text, nil},
	{"Aruba-User-Group", aruba, 36, text, nil},
	{"Aruba-Admin-Path", aruba, 42, text, nil},
	{"Aruba-Admin-Device-Group", aruba, 48, text, nil},

	{"Blue-Coat-Group", blueCoat, 1, text, nil},
	{"Blue-Coat-Authorization", blueCoat, 2, number, nil},

	{"Brocade-Auth-Role", brocade, 1, text, nil},
	{"Brocade-AVPairs1", brocade, 2, text, nil},
	{"Brocade-AVPairs2", brocade, 3, text, nil},
	{"Brocade-AVPairs3", brocade, 4, text, nil},
	{"Brocade-AVPairs4", brocade, 5, text, nil},

	{"Cambium-Auth-Role", cambium, 1, number, nil},

	{"CP-Gaia-User-Role", checkPt, 229, text, nil},
	{"CP-Gaia-SuperUser-Access", checkPt, 230, number, nil},

	{"Citrix-Group-Names", citrix, 14, text, nil},
	{"Citrix-User-Groups", citrix, 16, text, nil},

	{"Extreme-CLI-Authorization", extreme, 201, number, offOn},
	{"Extreme-Shell-Command", extreme, 202, text, nil},
	{"Extreme-Netlogin-Vlan", extreme, 203, text, nil},
	{"Extreme-Security-Profile", extreme, 212, text, nil},

	{"F5-LTM-User-Role", f5, 1, number, f5Role},
	{"F5-LTM-User-Role-Universal", f5, 2, number, offOn},
	{"F5-LTM-User-Partition", f5, 3, text, nil},
	{"F5-LTM-User-Console", f5, 4, number, offOn},
	{"F5-LTM-User-Shell", f5, 5, text, nil},
	{"F5-LTM-User-Context-1", f5, 10, number, nil},
	{"F5-LTM-User-Context-2", f5, 11, number, nil},
	{"F5-LTM-User-Info-1", f5, 12, text, nil},
	{"F5-LTM-User-Info-2", f5, 13, text, nil},

	{"Force10-AVPair", force10, 1, text, nil},

	{"Fortinet-Group-Name", fortinet, 1, text, nil},
	{"Fortinet-Client-IP-Address", fortinet, 2, ipv4, nil},
	{"Fortinet-Vdom-Name", fortinet, 3, text, nil},
	{"Fortinet-Interface-Name", fortinet, 5, text, nil},
	{"Fortinet-Access-Profile", fortinet, 6, text, nil},
	{"Fortinet-FDD-Access-Profile", fortinet, 30, text, nil},
	{"Fortinet-FDD-Trusted-Hosts", fortinet, 31, text, nil},
	{"Fortinet-FDD-SPP-Name", fortinet, 32, text, nil},
	{"Fortinet-Fpc-User-Role", fortinet, 40, text, nil},
	{"Fortinet-Tenant-Identification", fortinet, 41, text, nil},

	{"Foundry-Privilege-Level", foundry, 1, number, nil},
	{"Foundry-Command-String", foundry, 2, text, nil},
	{"Foundry-Command-Exception-Flag", foundry, 3, number, nil},

	{"H3C-Exec-Privilege", h3c, 29, number, h3cPrivilege},
	{"H3C-User-Group", h3c, 140, text, nil},
	{"H3C-User-Role", h3c, 155, text, nil},
	{"H3C-Av-Pair", h3c, 210, text, nil},

	{"HP-Privilege-Level", hp, 1, number, nil},
	{"HP-Command-String", hp, 2, text, nil},
	{"HP-Command-Exception", hp, 3, number, map[string]uint32{"Permit-List": 0, "Deny-List": 1}},
	{"HP-User-Role", hp, 25, text, nil},
	{"HP-CPPM-Role", hp, 27, text, nil},

	{"Huawei-Exec-Privilege", huawei, 29, number, nil},
	{"Huawei-Data-Filter", huawei, 82, text, nil},

	{"Infoblox-Group-Info", infoblox, 9, text, nil},

	{"Juniper-Local-User-Name", juniper, 1, text, nil},
	{"Juniper-Allow-Commands", juniper, 2, text, nil},
	{"Juniper-Deny-Commands", juniper, 3, text, nil},
	{"Juniper-Allow-Configuration", juniper, 4, text, nil},
	{"Juniper-Deny-Configuration", juniper, 5, text, nil},
	{"Juniper-User-Permissions", juniper, 10, text, nil},
	{"Juniper-Local-Group-Name", juniper, 46, text, nil},
	{"Juniper-Switching-Filter", juniper, 48, text, nil},
	{"Juniper-AV-Pair", juniper, 52, text, nil},

	{"MS-MPPE-Encryption-Policy", microsoft, 7, number, map[string]uint32{"Encryption-Allowed": 1, "Encryption-Required": 2}},
	{"MS-MPPE-Encryption-Types", microsoft, 8, number, nil},
	{"MS-Primary-DNS-Server", microsoft, 28, ipv4, nil},
	{"MS-Secondary-DNS-Server", microsoft, 29, ipv4, nil},
	{"MS-Primary-NBNS-Server", microsoft, 30, ipv4, nil},
	{"MS-Secondary-NBNS-Server", microsoft, 31, ipv4, nil},

	{"Mikrotik-Recv-Limit", mikrotik, 1, number, nil},
	{"Mikrotik-Xmit-Limit", mikrotik, 2, number, nil},
	{"Mikrotik-Group", mikrotik, 3, text, nil},
	{"Mikrotik-Rate-Limit", mikrotik, 8, text, nil},
	{"Mikrotik-Realm", mikrotik, 9, text, nil},
	{"Mikrotik-Mark-Id", mikrotik, 11, text, nil},
	{"Mikrotik-Address-List", mikrotik, 19, text, nil},
	{"Mikrotik-Delegated-IPv6-Pool", mikrotik, 22, text, nil},
	{"Mikrotik-Wireless-VLANID", mikrotik, 26, number, nil},
	{"Mikrotik-Switching-Filter", mikrotik, 30, text, nil},

	{"NS-Admin-Privilege", netscreen, 1, number, nil},
	{"NS-VSYS-Name", netscreen, 2, text, nil},
	{"NS-User-Group", netscreen, 3, text, nil},

	{"PaloAlto-Admin-Role", paloAlto, 1, text, nil},
	{"PaloAlto-Admin-Access-Domain", paloAlto, 2, text, nil},
	{"PaloAlto-Panorama-Admin-Role", paloAlto, 3, text, nil},
	{"PaloAlto-Panorama-Admin-Access-Domain", paloAlto, 4, text, nil},
	{"PaloAlto-User-Group", paloAlto, 5, text, nil},
	{"PaloAlto-User-Domain", paloAlto, 6, text, nil},

	{"pfSense-Bandwidth-Max-Up", pfSense, 1, number, nil},
	{"pfSense-Bandwidth-Max-Down", pfSense, 2, number, nil},

	{"Riverbed-Local-User", riverbed, 1, text, nil},

	{"Ruckus-User-Groups", ruckus, 1, text, nil},
	{"Ruckus-VLAN-ID", ruckus, 9, number, nil},
	{"Ruckus-FlexAuth-AVP", ruckus, 20, text, nil},
	{"Ruckus-SCI-Role", ruckus, 200, text, nil},

	{"SonicWall-User-Privilege", sonicWall, 1, number, nil},
	{"SonicWall-User-Group", sonicWall, 3, text, nil},

	{"WISPr-Redirection-URL", wispr, 4, text, nil},
	{"WISPr-Bandwidth-Min-Up", wispr, 5, number, nil},
	{"WISPr-Bandwidth-Min-Down", wispr, 6, number, nil},
	{"WISPr-Bandwidth-Max-Up", wispr, 7, number, nil},
	{"WISPr-Bandwidth-Max-Down", wispr, 8, number, nil},
	{"WISPr-Session-Terminate-Time", wispr, 9, text, nil},

	{"Zyxel-Privilege-AVPair", zyxel, 3, text, nil},
}
