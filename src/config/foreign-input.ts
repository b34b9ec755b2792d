/**
 * This file recognises files of other programs where one of ours or a template is expected. Without it they would be
 * reported as many unknown keys. The report names the file's kind, and says what to do with it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findFlattened } from '../cloudformation/reindent.ts';
import type { Problem } from '../source/problem.ts';
import { get, type Node } from '../source/yaml.ts';
import { adviseConfiguration } from './template-advice.ts';

interface Kind {
  readonly what: string;
  readonly hint: string;
}

const BY_HAND =
  'it is not read (yet): write its groups and rules as securityGroups of a configuration; docs/configuration.md has an example';

const TERRAFORM: Kind = { what: 'Terraform source', hint: BY_HAND };
/** What sgctl reads and the daemon does not: who enforces something says what. */
const AS_IT_IS =
  '`sgctl check`, explain, test, rules, diff and lab up take it as it is; `sgctl export --to configuration` makes one of it';
const PLAN: Kind = { what: 'a Terraform plan or state', hint: AS_IT_IS };
const SAVED_TABLES: Kind = {
  what: 'a rule set of iptables or nftables',
  hint: 'it is not read: docs/howto/migrate-from-iptables.md says how its rules become those of groups',
};

/** Of these, what sgctl reads (as JSON, as the CLI writes it). */
const READ: ReadonlySet<string> = new Set([
  'SecurityGroups',
  'SecurityGroupRules',
  'NetworkInterfaces',
  'Reservations',
  'PrefixLists',
]);

/** The output of `aws …`, by its top-level key. */
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

/** The kind of file that is expected. */
export type Wanted = keyof typeof WANTED;
const WANTED = {
  configuration: 'a configuration of secgroupd',
  template: 'a CloudFormation template',
  expectations: 'a file of expectations',
} as const;

/** Recognises a file by its tree. Undefined: it may be the expected kind. */
export function foreignTree(file: string, root: Node, wanted: Wanted): Problem | undefined {
  const found = ownKind(root, wanted) ?? treeKind(root);
  return found === undefined ? undefined : foreignProblem(file, found, wanted);
}

/**
 * Recognises a template where something else is expected. It may be invalid YAML until its indentation is repaired.
 * @param root undefined if it could not be parsed
 */
export function foreignTemplate(
  file: string,
  text: string,
  root: Node | undefined,
  wanted: Exclude<Wanted, 'template'>,
): Problem | undefined {
  if (!isTemplate(root, text)) return undefined;
  const hint = adviseConfiguration(file, root);
  return foreignProblem(file, { what: WANTED.template, hint }, wanted);
}

/** A template has sections or resources at its top level. No file of ours has. */
export function isTemplate(root: Node | undefined, text: string): boolean {
  if (findFlattened(text) !== undefined) return true;
  if (root === undefined)
    return /^[\s{]*["']?(?:AWSTemplateFormatVersion|Resources)["']?\s*:/m.test(text);
  if (root.kind !== 'mapping') return false;
  return root.entries.some(({ key, value }) => {
    if (key === 'AWSTemplateFormatVersion' || key === 'Resources') return true;
    const type = get(value, 'Type');
    return type?.kind === 'scalar' && type.text.startsWith('AWS::');
  });
}

/** Recognises a cloud assembly's folder where a file is expected. */
export function foreignFolder(path: string, wanted: Wanted): Problem | undefined {
  if (!existsSync(join(path, 'manifest.json'))) return undefined;
  const hint = adviseConfiguration(path, undefined);
  return foreignProblem(path, { what: 'a CDK cloud assembly', hint }, wanted, 0);
}

/** Recognises a file by its text, since it may not be YAML at all. */
export function foreignText(file: string, text: string, wanted: Wanted): Problem | undefined {
  const kind = textKind(text);
  return kind === undefined ? undefined : foreignProblem(file, kind, wanted);
}

/** Recognises a file of ours that is not the expected kind. */
function ownKind(root: Node, wanted: Wanted): Kind | undefined {
  const has = (key: string): boolean => get(root, key) !== undefined;
  if (wanted !== 'expectations' && (has('expect') || has('matrix')) && !has('securityGroups'))
    return { what: 'a file of expectations', hint: '`sgctl test FILE` takes it' };
  if (wanted === 'configuration' || has('expect') || has('matrix')) return undefined;
  if (!has('interfaces') && !has('securityGroups')) return undefined;
  const hint =
    wanted === 'template'
      ? 'a configuration names templates, and is named by none'
      : 'name it in a file of expectations, as config: FILE; docs/testing.md tells how to write one';
  return { what: 'a configuration of secgroupd', hint };
}

function foreignProblem(file: string, { what, hint }: Kind, wanted: Wanted, line = 1): Problem {
  return {
    severity: 'error',
    code: 'foreign-input',
    at: { file, line, column: line },
    path: '',
    message: `this is ${what}, not ${WANTED[wanted]}`,
    hint,
  };
}

function treeKind(root: Node): Kind | undefined {
  if (root.kind === 'list') return listKind(root.items);
  if (root.kind !== 'mapping') return undefined;
  const has = (...keys: readonly string[]): boolean =>
    keys.every((key) => get(root, key) !== undefined);
  if (isPlan(has)) return PLAN;
  if (has('TemplateBody'))
    return {
      what: 'the output of `aws cloudformation get-template`',
      hint: 'take the template out of it (`--query TemplateBody`), and name that under templates:',
    };
  for (const [key, command] of AWS_ANSWERS)
    if (get(root, key)?.kind === 'list')
      return { what: `the output of \`aws ${command}\``, hint: READ.has(key) ? AS_IT_IS : BY_HAND };
  if (has('apiVersion', 'kind')) return { what: 'a Kubernetes manifest', hint: BY_HAND };
  if (has('version', 'artifacts'))
    return {
      what: 'the manifest of a CDK cloud assembly',
      hint: 'name its folder under templates: in a configuration; `sgctl check FOLDER` and `sgctl rules FOLDER` take it as it is',
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

/** Recognises a list: the result of `--query` or jq, or a playbook. */
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
      hint: 'name it as parametersFile: beside the template it is for, under templates:',
    };
  if (has('hosts')) return { what: 'a playbook of Ansible', hint: BY_HAND };
  return undefined;
}

function text(node: Node | undefined): string {
  return node?.kind === 'scalar' ? node.text : '';
}

/** The first line that is neither blank nor a comment decides. */
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
