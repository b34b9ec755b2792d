/**
 * Files of other programs, given where a configuration is expected. Read as a configuration they would be a heap of
 * unknown keys; here they are named, with what to do with them today.
 */
import type { Problem } from '../../source/problem.ts';
import { get, type Mapping, type Node } from '../../source/yaml.ts';

interface Kind {
  readonly what: string;
  readonly hint: string;
}

const BY_HAND =
  'it is not read (yet): write its groups and rules as securityGroups of a configuration; docs/configuration.md has an example';
const TEMPLATE_HINT =
  'name it under templates: in a configuration, with the interfaces that have its groups; `sgctl check FILE` checks it by itself';

const TERRAFORM: Kind = { what: 'Terraform source', hint: BY_HAND };
const PLAN: Kind = { what: 'a Terraform plan or state', hint: BY_HAND };
const TEMPLATE: Kind = { what: 'a CloudFormation template', hint: TEMPLATE_HINT };
const SAVED_TABLES: Kind = {
  what: 'a rule set of iptables or nftables',
  hint: 'it is not read: docs/howto/migrate-from-iptables.md says how its rules become those of groups',
};

/** What `aws …` prints, by the key at its top. */
const AWS_ANSWERS: ReadonlyMap<string, string> = new Map([
  ['SecurityGroups', 'ec2 describe-security-groups'],
  ['SecurityGroupRules', 'ec2 describe-security-group-rules'],
  ['NetworkInterfaces', 'ec2 describe-network-interfaces'],
  ['Reservations', 'ec2 describe-instances'],
  ['PrefixLists', 'ec2 describe-managed-prefix-lists'],
  ['ManagedPrefixLists', 'ec2 describe-managed-prefix-lists'],
  ['NetworkAcls', 'ec2 describe-network-acls'],
  ['Stacks', 'cloudformation describe-stacks'],
  ['StackResources', 'cloudformation describe-stack-resources'],
]);

/** A file that this knows by its tree. Undefined: it may be a configuration. */
export function foreignTree(file: string, root: Node): Problem | undefined {
  const kind = treeKind(root);
  return kind === undefined ? undefined : foreignProblem(file, kind);
}

/** A file that this knows by its text, where it may be no YAML at all. */
export function foreignText(file: string, text: string): Problem | undefined {
  const kind = textKind(text);
  return kind === undefined ? undefined : foreignProblem(file, kind);
}

function foreignProblem(file: string, { what, hint }: Kind): Problem {
  return {
    severity: 'error',
    code: 'foreign-input',
    at: { file, line: 1, column: 1 },
    path: '',
    message: `this is ${what}, not a configuration of secgroupd`,
    hint,
  };
}

function treeKind(root: Node): Kind | undefined {
  if (root.kind === 'list') return listKind(root.items);
  if (root.kind !== 'mapping') return undefined;
  const has = (...keys: readonly string[]): boolean =>
    keys.every((key) => get(root, key) !== undefined);
  if (isPlan(has)) return PLAN;
  if (isTemplate(root, has)) return TEMPLATE;
  if (has('TemplateBody'))
    return {
      what: 'the output of `aws cloudformation get-template`',
      hint: 'take the template out of it (`--query TemplateBody`), and name that under templates:',
    };
  for (const [key, command] of AWS_ANSWERS)
    if (get(root, key)?.kind === 'list')
      return { what: `the output of \`aws ${command}\``, hint: BY_HAND };
  if (has('apiVersion', 'kind')) return { what: 'a Kubernetes manifest', hint: BY_HAND };
  if (has('version', 'artifacts'))
    return {
      what: 'the manifest of a CDK cloud assembly',
      hint: 'name the *.template.json files beside it under templates: in a configuration',
    };
  if (has('nftables')) return SAVED_TABLES;
  if (text(get(root, '$schema')).includes('deploymentTemplate'))
    return { what: 'a template of Azure Resource Manager', hint: BY_HAND };
  if (get(root, 'services')?.kind === 'mapping') return { what: 'a Compose file', hint: BY_HAND };
  if (get(get(root, 'network'), 'version') !== undefined)
    return { what: 'a configuration of netplan', hint: BY_HAND };
  return undefined;
}

function isPlan(has: (...keys: readonly string[]) => boolean): boolean {
  return (
    has('terraform_version') ||
    has('planned_values') ||
    has('resource_changes') ||
    has('format_version', 'values')
  );
}

function isTemplate(root: Mapping, has: (...keys: readonly string[]) => boolean): boolean {
  if (has('AWSTemplateFormatVersion')) return true;
  const resources = get(root, 'Resources');
  return resources?.kind === 'mapping';
}

/** What `--query` and jq leave of an answer; a playbook. */
function listKind(items: readonly Node[]): Kind | undefined {
  const [first] = items;
  if (first?.kind !== 'mapping') return undefined;
  const has = (key: string): boolean => get(first, key) !== undefined;
  if (has('GroupId') && (has('IpPermissions') || has('GroupName')))
    return { what: 'the output of `aws ec2 describe-security-groups`', hint: BY_HAND };
  if (has('SecurityGroupRuleId'))
    return { what: 'the output of `aws ec2 describe-security-group-rules`', hint: BY_HAND };
  if (has('NetworkInterfaceId'))
    return { what: 'the output of `aws ec2 describe-network-interfaces`', hint: BY_HAND };
  if (has('ParameterKey'))
    return {
      what: 'a file of parameters for CloudFormation',
      hint: 'name it as parameters: beside the template it is for, under templates:',
    };
  if (has('hosts')) return { what: 'a playbook of Ansible', hint: BY_HAND };
  return undefined;
}

function text(node: Node | undefined): string {
  return node?.kind === 'scalar' ? node.text : '';
}

/** The first line that is neither blank nor a comment tells. */
const HCL =
  /^(?:(?:resource|data)\s+"[^"]+"\s+"[^"]+"|(?:variable|provider|module|output)\s+"[^"]+"|terraform|locals)\s*\{/;
const SAVED =
  /^(?:\*(?:filter|nat|mangle|raw|security)\s*$|table\s+\w+\s+\w+\s*\{|flush ruleset\b)/;
const LEADING_MAX = 64 * 1024;

function textKind(whole: string): Kind | undefined {
  if (whole.startsWith('PK\u0003\u0004'))
    return {
      what: 'a ZIP archive (Terraform saves plans so)',
      hint: `of a plan, \`terraform show -json\` shows what is in it; ${BY_HAND}`,
    };
  const first = whole
    .slice(0, LEADING_MAX)
    .split('\n')
    .find((line) => !/^\uFEFF?\s*(?:#.*|\/\/.*)?$/.test(line));
  if (first === undefined) return undefined;
  if (HCL.test(first)) return TERRAFORM;
  return SAVED.test(first) ? SAVED_TABLES : undefined;
}
