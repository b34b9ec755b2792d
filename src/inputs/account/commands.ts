/** The commands that write what an account has into a folder. They only read. */

export interface CommandOptions {
  readonly folder: string;
  readonly region?: string | undefined;
  readonly profile?: string | undefined;
  /** Only what is in this VPC. */
  readonly vpc?: string | undefined;
}

/** By file: the call, and the filter that names a VPC. */
const CALLS: readonly (readonly [file: string, call: string, filter: string | undefined])[] = [
  ['security-groups', 'describe-security-groups', 'vpc-id'],
  ['security-group-rules', 'describe-security-group-rules', undefined],
  ['network-interfaces', 'describe-network-interfaces', 'vpc-id'],
  ['instances', 'describe-instances', 'vpc-id'],
  ['subnets', 'describe-subnets', 'vpc-id'],
  ['vpcs', 'describe-vpcs', 'vpc-id'],
  ['network-acls', 'describe-network-acls', 'vpc-id'],
  ['route-tables', 'describe-route-tables', 'vpc-id'],
  ['prefix-lists', 'describe-managed-prefix-lists', undefined],
];

/** They only give names to interfaces, and not everybody may ask. */
const OPTIONAL: ReadonlySet<string> = new Set(['instances']);

/** A script for sh. */
export function printCommands({ folder, region, profile, vpc }: CommandOptions): string {
  const aws = [
    'aws ec2',
    ...(profile === undefined ? [] : [`--profile ${quote(profile)}`]),
    ...(region === undefined ? [] : [`--region ${quote(region)}`]),
    '--output json',
  ].join(' ');
  const into = quote(folder);
  // Rules can't be asked for by VPC, and those of others would be of groups that are not there.
  const calls = CALLS.filter(([file]) => vpc === undefined || file !== 'security-group-rules').map(
    ([file, call, filter]) => {
      const isAll = vpc === undefined || filter === undefined;
      const only = isAll ? '' : ` --filters Name=${filter},Values=${quote(vpc)}`;
      const target = `${into}/${file}.json`;
      const line = `${aws} ${call}${only} > ${target}`;
      return OPTIONAL.has(file) ? `${line} || rm -f ${target}` : line;
    },
  );
  return [
    '# Reads, and changes nothing. Needs the right ec2:Describe* and ec2:GetManagedPrefixListEntries.',
    'set -e',
    `mkdir -p ${into}`,
    ...calls,
    `for list in $(${aws.replace('--output json', '--output text')} describe-managed-prefix-lists --query 'PrefixLists[].PrefixListId'); do`,
    `  ${aws} get-managed-prefix-list-entries --prefix-list-id "$list" > ${into}/prefix-list-"$list".json`,
    'done',
  ].join('\n');
}

function quote(text: string): string {
  return /^[A-Za-z0-9_./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
