/**
 * What each code of a problem is about in general, for lists of rules; the problem itself says what is wrong in the
 * case.
 */

export interface RuleTexts {
  /** One sentence: what it is. */
  readonly what: string;
  /** What to do about it. */
  readonly help: string;
}

const WRITE_AS_HINT = 'The message says where, and what would be right.';
const ONLY_IN_AWS =
  'Only AWS can know the value. Give it in the configuration, or write it into the template; a rule that needs it denies meanwhile.';
const ONE_OF_TWO = 'Keep one of the two, or give one another name.';
const AS_AWS = 'It works here; correct it before the template or the rules go to AWS.';
const SHORTEN = 'Check that it is the right file; split it if it is.';

/* prettier-ignore */
const TEXTS: Readonly<Record<string, readonly [what: string, help: string]>> = {
  // Flow logs.
  'bad-aggregation': ['The aggregation interval of a flow log is neither 60 nor 600 seconds.', WRITE_AS_HINT],
  'bad-log-format': ['The format of a flow log is not made of its fields.', WRITE_AS_HINT],
  'bad-rotation': ['The rotation of a flow log is beyond its limits.', WRITE_AS_HINT],
  'flow-log-file-twice': ['Two flow logs write to the same file.', 'Give each a file of its own.'],
  'flow-logs-without-accounting': ['Flow logs need conntrack.accounting.', 'Leave conntrack.accounting out.'],
  'unknown-interface': ['There is no interface of that name.', WRITE_AS_HINT],
  'relative-file': ['A file is not named by an absolute path.', WRITE_AS_HINT],
  // What two inputs allow.
  'newly-allowed': ['Something is newly allowed.', 'See that it is meant.'],
  'newly-audited': ['Something that no rule allows passes by audit from now on.', 'Enforce the rules when sgctl drops --audit shows nothing new.'],
  'no-longer-audited': ['Something that no rule allows passes by audit no longer.', 'See that nobody needs it: sgctl drops --audit.'],
  'no-longer-allowed': ['Something is allowed no longer.', 'See that nobody needs it.'],
  'perhaps-newly-allowed': ['Something may be newly allowed: it is not decidable.', 'See what it depends on: sgctl explain.'],
  'perhaps-no-longer-allowed': ['Something may be allowed no longer: it is not decidable.', 'See what it depends on: sgctl explain.'],
  // Plans, states and accounts.
  'bad-json': ['The file is no JSON.', 'Write it again: it may have been cut off.'],
  'incomplete-plan': ['A plan does not say everything.', 'Plan again; verdicts that depend on what is missing are not decidable.'],
  'missing-answer': ['A call of the account is missing.', WRITE_AS_HINT],
  'no-address': ['There is no free address for an interface.', WRITE_AS_HINT],
  'refused-rule': ['AWS refuses a rule.', WRITE_AS_HINT],
  'unnamed-entries': ['Nothing says of which prefix list entries are.', WRITE_AS_HINT],
  // Files and text.
  'empty-document': ['The file is empty.', 'Check that it is the right file.'],
  'file-encoding': ['The file is not UTF-8 text.', 'Save it as UTF-8.'],
  'file-too-large': ['The file is larger than what is read.', SHORTEN],
  'file-unreadable': ['The file cannot be read.', 'Check its name and its permissions.'],
  'too-deep': ['The text is nested too deep.', SHORTEN],
  'too-many-values': ['The file has too many values.', SHORTEN],
  'yaml-alias': ['An alias names no anchor before it.', 'Quote a value that starts with an asterisk.'],
  'yaml-alias-expansion': ['Aliases of aliases expand without measure.', 'Write the values out.'],
  'json-comment': ['A comment stands in JSON, which has none.', 'Take it out, or write the file as YAML.'],
  'yaml-merge': ['A merge key stands in a template.', 'Write the values out: CloudFormation does not merge mappings.'],
  'yaml-key': ['A key of a mapping is not plain text.', WRITE_AS_HINT],
  'yaml-syntax': ['The text is not valid YAML or JSON.', WRITE_AS_HINT],
  'foreign-input': ['The file is of another program.', 'Do with it as the message says.'],
  'host-credentials': [
    "Instances reach the host's own metadata service.",
    'Have something here answer (platform), give the uplink a netns, or leave the service out of platformServices.',
  ],
  'platform-without-services': [
    "The platform's port has no service to answer for.",
    'Name services in platformServices, or leave platform out.',
  ],
  'platform-in-host': [
    "The platform's device is in the host's own namespace.",
    'Give it a netns.',
  ],
  'unknown-service': ['A platform service is not known.', WRITE_AS_HINT],
  'gateway-without-link': ['A gateway is given where there is no link for it to be on.', 'Leave gateways out behind a TUN.'],
  'two-gateways': ['There are two gateways of one address family.', 'Keep one of them.'],
  'gateway-off-link': ['A gateway is in no prefix of the uplink.', WRITE_AS_HINT],
  'host-default-route': [
    'A default route of the host would be replaced.',
    WRITE_AS_HINT,
  ],
  'yaml-tag': ['A YAML tag is not supported.', 'Leave it out.'],
  'duplicate-key': ['A key is given twice in one mapping.', 'Keep one of the two.'],
  // Shape.
  'bad-value': ['A value is not one of those that can be.', WRITE_AS_HINT],
  'missing-key': ['A key that is needed is missing.', WRITE_AS_HINT],
  'many-entries': ['A prefix list has more entries than AWS takes in one request.', 'Split the list.'],
  'cloud-assembly': ['The manifest of a cloud assembly is wrong or not known.', 'Run cdk synth again, or name its templates.'],
  'nested-stack': ['A nested stack whose template is not at hand is not read.', 'Name a file as TemplateURL, or its template in the configuration.'],
  'empty-default-group': ["A resource takes AWS's own rules from the default group.", 'Write the rules that the group should have.'],
  'too-many-interfaces': ['There are more interfaces than the daemon can have.', SHORTEN],
  'bad-stack-name': ['The name of a stack cannot begin the names of its groups.', 'Give the template another stackName.'],
  'flow-log-no-file': ['A flow log has no regular file to be written to.', WRITE_AS_HINT],
  'unknown-type': ['A resource type is misspelt.', WRITE_AS_HINT],
  'replaced-rule': ['A rule that allows everything out goes when a resource adds an egress rule.', 'Write it as a resource of its own, or take the other out.'],
  'unknown-key': ['A key is not known.', 'Correct its spelling, or remove it: a key that is not known is never passed over.'],
  'wrong-kind': ['A value is of the wrong kind.', WRITE_AS_HINT],
  // Names and ids.
  'bad-description': ['A description is too long or has characters that AWS does not take.', WRITE_AS_HINT],
  'bad-id': ['An id is not one that AWS could give.', 'Write the prefix and 17 lower-case hexadecimal digits, or leave the id out.'],
  'bad-name': ['A name is too long, reserved, or has characters that cannot be in it.', WRITE_AS_HINT],
  'duplicate-export': ['Two templates export a value under one name.', ONE_OF_TWO],
  'duplicate-group': ['An interface names a group twice.', 'Remove one of the two.'],
  'duplicate-group-name': ['Two groups of a template have one name.', 'Give one another name; case makes no difference.'],
  'duplicate-id': ['Two things have one id.', 'Give one of the two another id, or none.'],
  'duplicate-name': ['Two things have one name.', ONE_OF_TWO],
  'duplicate-stack': ['Two templates have one stack name.', 'Give one of the two another stackName.'],
  'unknown-group': ['A security group that is named does not exist.', WRITE_AS_HINT],
  'unknown-prefix-list': ['A prefix list that is named does not exist.', WRITE_AS_HINT],
  // Addresses and devices.
  'address-outside-vpc': ['An address is in no block of the VPC.', 'Correct the address, or the blocks of the VPC.'],
  'attached-device': ['An attached device is given settings.', 'Leave them out: who makes the device configures it.'],
  'bad-alias': ['A text cannot be the alias of a network interface.', WRITE_AS_HINT],
  'bad-address': ['A text is not an IP address.', WRITE_AS_HINT],
  'bad-cidr': ['A text is not a CIDR block.', WRITE_AS_HINT],
  'bad-device-name': ['A text cannot be the name of a network device.', WRITE_AS_HINT],
  'bad-listen': ['A text is not an address to listen on.', WRITE_AS_HINT],
  'bad-busy-poll': ['The time of busy polling is out of range.', WRITE_AS_HINT],
  'bad-workers': ['The number of workers is out of range.', WRITE_AS_HINT],
  'bad-mac': ['A text is not the MAC address of a host, or the kind of device has none.', WRITE_AS_HINT],
  'bad-max-flows': ['The number of flows is out of range.', WRITE_AS_HINT],
  'bad-mtu': ['An MTU is out of range.', 'IPv6 needs 1280 at least.'],
  'dhcp-without-link': ['DHCP is turned on for a device without Ethernet.', 'Leave dhcp out, or give it a TAP.'],
  'match-of-own-device': ['A device that is made here is given what finds one of somebody else.', 'Leave it out, or write kind: attach.'],
  'overlapping-devices': ['One network interface can be the device of two interfaces.', 'Tell them apart by names, aliases or hostMac.'],
  'stream-device': ['A stream is given what only interfaces have, or an interface a path.', 'Leave it out, or correct the kind.'],
  'bad-socket-group': ['The group of a socket is no name and no number.', 'Write a name or number of /etc/group.'],
  'stream-workers': ['A stream has one queue, and there are several packet loops.', 'Leave workers out, or take a TAP.'],
  'too-many-dns-servers': ['There are more DNS servers than AWS takes.', 'Four of each family are the most.'],
  'bad-netns': ['A text does not name a network namespace.', 'Write a name, an absolute path, or a process id.'],
  'bad-timeout': ['An idle time-out is outside the range that AWS allows.', WRITE_AS_HINT],
  'duplicate-address': ['Two interfaces have one address.', 'Correct one of the two.'],
  'duplicate-device': ['A device stands for two interfaces.', 'Give each interface a device of its own.'],
  'host-bits': ['A block has bits set beyond its prefix.', 'Write the block that AWS would store, or /32 or /128 for the one host.'],
  'missing-address': ['An interface has no address.', 'Give it one at least.'],
  'missing-device': ['The uplink has no device.', 'Write tun or tap.'],
  'missing-group': ['An interface has an empty list of groups.', 'Name one, or remove the key for the default group.'],
  'reserved-address': ['An address is one that AWS keeps for itself.', 'Take another address.'],
  'subnet-outside-vpc': ['A subnet is in no block of the VPC.', 'Correct the subnet, or the blocks of the VPC.'],
  'two-forms': ['Both vpc and vpcs are given.', 'Write the one VPC under vpcs, with a name.'],
  'unknown-vpc': ['A VPC that is named does not exist.', WRITE_AS_HINT],
  'missing-vpc': ['There are several VPCs, and nothing says in which one something is.', 'Write vpc: NAME.'],
  'other-vpc': ['Two things that belong together are in different VPCs.', AS_AWS],
  'vpc-overlap': ['Two VPCs with interfaces here share addresses.', 'Make their blocks disjoint, or run a second daemon.'],
  'two-devices': ['The uplink has two devices.', 'Keep tun or tap.'],
  'vpc-size': ['A block of the VPC has a size that AWS does not take.', AS_AWS],
  // Rules.
  'bad-icmp': ['An ICMP type or code is wrong.', 'Write numbers from 0 to 255, or all; with all types go all codes.'],
  'bad-dns-name': ['A text is not a DNS name.', WRITE_AS_HINT],
  'audit-of-name': ['A rule with a DNS name only audits.', 'Take audit away, or name a block.'],
  'audit-on': ['Something passes what it would drop.', 'Take audit away when enough was seen.'],
  'bad-names': ['A setting of DNS names is out of range.', WRITE_AS_HINT],
  'dns-name-any-resolver': ['Any server may be asked for a DNS name that a rule has.', 'Admit udp 53 to the resolvers that you trust.'],
  'dns-name-ingress': ['An ingress rule has a DNS name.', 'Names are for egress rules.'],
  'dns-name-without-resolver': ['No resolver may be asked for a DNS name that a rule has.', 'Admit udp 53 to the resolver of the interface.'],
  'tls-name-without-name': ['A rule requires a server name of TLS beside a peer that is no DNS name.', 'Write a rule of its own for dns: peers.'],
  'tls-name-without-tcp': ['A rule that is not for tcp requires a server name of TLS.', 'tlsName is for tcp.'],
  'too-many-dns-names': ['The rules of an interface have too many DNS names.', 'Name a parent, as *.example.com.'],
  'bad-peer': ['A text is not a block, a group or a prefix list.', WRITE_AS_HINT],
  'bad-port': ['A port or a range of ports is wrong.', 'Ports go from 0 to 65535, the smaller one first.'],
  'bad-ports': ['The ports of a rule are wrong.', 'Ports go from 0 to 65535, FromPort not above ToPort.'],
  'bad-protocol': ['A text is not a protocol.', 'Write tcp, udp, icmp, icmpv6, or a number.'],
  'code-without-type': ['A rule has an ICMP code and no type.', 'Write the type as well.'],
  'duplicate-rule': ['A group has the same rule twice.', 'Remove one of the two; AWS refuses it.'],
  'family-mismatch': ['An ICMP rule is for addresses of the other family and never matches.', 'Write icmp for IPv4 and icmpv6 for IPv6.'],
  'missing-peer': ['A rule names no other side.', 'Name a block, a prefix list or a group.'],
  'missing-ports': ['A rule for tcp or udp has no ports.', 'Name the ports, or all.'],
  'missing-type': ['A rule for icmp has no type.', 'Name the type, or all.'],
  'ports-ignored': ['A rule has ports that have no effect.', 'The rule covers all of its protocol: leave the ports out, or name tcp or udp.'],
  'ports-without-use': ['A rule has ports, and its protocol has none.', 'Leave the ports out, or name tcp or udp.'],
  'several-peers': ['A rule names several other sides.', 'Write one rule for each; AWS refuses the one.'],
  'type-without-use': ['A rule has an ICMP type or code, and its protocol has none.', 'Leave them out, or name icmp or icmpv6.'],
  'wrong-direction': ['A rule names its other side with the word for the other direction.', 'Write from for ingress, and to for egress.'],
  // Prefix lists.
  'bad-max-entries': ['The most entries of a prefix list are out of range.', WRITE_AS_HINT],
  'duplicate-entry': ['A prefix list has a block twice.', 'Remove one of the two.'],
  'missing-family': ['A prefix list without entries has no family.', 'Write family: 4 or family: 6.'],
  'mixed-families': ['A prefix list has blocks of both families.', 'Make two lists of it.'],
  'too-many-entries': ['A prefix list has more entries than it has room for.', 'Raise its maxEntries, or remove entries.'],
  // Quotas.
  'bad-quota': ['A quota is not a number in its range.', 'Write a number, or off.'],
  'quota-entries': ['A prefix list is larger than the quota.', 'Make it smaller, or raise quotas.prefixListEntries.'],
  'quota-groups': ['There are more security groups than the quota.', 'Merge groups, or raise quotas.securityGroups.'],
  'quota-memberships': ['An interface has more groups than the quota.', 'Merge groups, or raise quotas.groupsPerInterface.'],
  'quota-product': ['Rules a group times groups an interface are more than the quota.', 'Lower one of the two quotas, or use fewer rules.'],
  'quota-rules': ['A group has more rules than the quota.', 'Split the group, use shorter prefix lists, or raise quotas.rulesPerGroup.'],
  // What is surely not meant.
  'empty-prefix-list': ['A rule is for a prefix list without entries.', 'It admits nobody until the list has entries.'],
  'lint-incomplete': ['There are too many rules to compare them all.', 'Split the groups.'],
  'lone-member': ['A rule is for the members of a group among themselves, and there is one only.', 'It has no effect until there are more.'],
  'mute-group': ['A group has no rules at all.', 'Give it rules; or let rules of other groups name it.'],
  'open-admin-port': ['A port for administrators is open to the whole internet.', 'Name who administers it: a block, a prefix list or a group.'],
  'open-to-internet': ['Every port is open to the whole internet.', 'Open the ports that the internet needs and no others.'],
  'shadowed-rule': ['A rule adds nothing to a wider one of the same group.', 'Remove the narrower rule, or the wider one if it was not meant.'],
  'unreachable-reference': ['A rule is for a group that is on no interface, so it admits nobody.', 'Put the group on an interface, or name another one.'],
  'unused-group': ['A group is on no interface.', 'Put it on one, or remove it.'],
  // Templates.
  'bad-supplied-key': ['A value is supplied under a key that means nothing.', WRITE_AS_HINT],
  'parameters-format': ['A file of parameters has not the form of one.', WRITE_AS_HINT],
  'unused-value': ['A value is supplied that no template asks for.', 'Correct its key, or remove it.'],
  'bad-function': ['An intrinsic function is used wrongly.', WRITE_AS_HINT],
  'bad-parameter': ['A parameter or its value is wrong.', WRITE_AS_HINT],
  'bad-property': ['A property has a wrong value.', WRITE_AS_HINT],
  'circular-reference': ['Things wait for each other.', 'Use separate rule resources for groups that name each other.'],
  'group-name-as-id': ['A group name stands where a group id should.', 'Write !GetAtt Group.GroupId.'],
  'group-name-of-vpc': ['A group of another VPC than the default one is named by its name.', 'Write !GetAtt Group.GroupId.'],
  'lost-indentation': ['A template has lost its indentation.', 'Indent it as YAML wants it.'],
  'many-resources': ['A template has more resources than AWS takes.', 'Split the template.'],
  'missing-property': ['A property that AWS needs is missing.', AS_AWS],
  'missing-resources': ['A template has no resources where they belong.', 'Write them under Resources.'],
  'null-value': ['A value is null, which AWS refuses.', 'Write a value, or !Ref AWS::NoValue.'],
  'outside-group': ['A rule is for a group that the template does not define.', 'Define the group there, or the rule where the group is.'],
  'passed-over': ['Resources make no rules and are passed over.', 'Nothing needs to be done.'],
  'rule-reference': ['A list of rules refers to a rule resource.', 'Take the line out: the rule resource names its group.'],
  'template-format': ['A template has not the form of one.', WRITE_AS_HINT],
  'template-limit': ['A template goes beyond a limit.', SHORTEN],
  'unknown-attribute': ['A resource has no such attribute.', WRITE_AS_HINT],
  'unknown-condition': ['A condition is not defined.', 'Define it under Conditions.'],
  'unknown-function': ['An intrinsic function is not known.', WRITE_AS_HINT],
  'unknown-mapping': ['A mapping or one of its keys is not defined.', 'Define it under Mappings.'],
  'unknown-placement': ['An interface is to come from a resource that no template has.', WRITE_AS_HINT],
  'unknown-parameter': ['A parameter is not defined.', 'Correct its name, or define it under Parameters.'],
  'unknown-property': ['A property or attribute is not known.', AS_AWS],
  'unknown-section': ['A section of a template is not known.', AS_AWS],
  'unknown-value': ['A value cannot be known here.', ONLY_IN_AWS],
  'unresolved-reference': ['A reference names nothing.', WRITE_AS_HINT],
  template: ['A template could not be read.', WRITE_AS_HINT],
  transform: ['A transform runs in AWS alone, or is needed and missing.', 'Give the template as AWS has it after the transform, or declare the transform.'],
};

export function ruleTexts(code: string): RuleTexts {
  const texts = TEXTS[code];
  if (texts !== undefined) return { what: texts[0], help: texts[1] };
  // Whatever is added without a text here still makes a valid log.
  const words = code.replaceAll('-', ' ');
  return { what: `${words[0].toUpperCase()}${words.slice(1)}.`, help: WRITE_AS_HINT };
}

export function hasRuleTexts(code: string): boolean {
  return TEXTS[code] !== undefined;
}
