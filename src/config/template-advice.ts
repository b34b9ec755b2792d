/** This file writes a whole configuration that a user can copy to try out a CloudFormation template. */
import { basename, extname } from 'node:path';
import { KIND_GROUP, KIND_INSTANCE, KIND_NETWORK_INTERFACE } from '../cloudformation/kinds.ts';
import { formatAddress, parseCidr } from '../addr/address.ts';
import { get, type Node } from '../source/yaml.ts';

/** Two ends are enough to ask who can reach whom. */
const INTERFACES_MAX = 2;
const DEFAULT_BLOCK = '10.0.0.0/24';
/** A host number beyond those that AWS reserves in a subnet. */
const FIRST_HOST = 11;

/** @param root the template; undefined if it could not be parsed */
export function adviseConfiguration(file: string, root: Node | undefined): string {
  const name = basename(file);
  const stack = basename(file, extname(file));
  const configuration = writeConfiguration(name, stack, root);
  return `write a configuration beside it, as ${configuration}, and give that; \`sgctl rules ${name}\` and \`sgctl check ${name}\` take it as it is`;
}

function writeConfiguration(name: string, stack: string, root: Node | undefined): string {
  const resources = get(root, 'Resources');
  const ids = (kinds: readonly string[]): string[] =>
    resources?.kind !== 'mapping'
      ? []
      : resources.entries
          .filter(({ key, value }) => isPlain(key) && kinds.includes(text(get(value, 'Type'))))
          .map(({ key }) => key);
  const instances = ids([KIND_INSTANCE, KIND_NETWORK_INTERFACE]);
  const groups = ids([KIND_GROUP]);
  const members =
    instances.length > 0
      ? instances.map((id) => `from: ${quote(`${stack}/${id}`)}`)
      : groups.length > 0
        ? groups.map((id) => `securityGroups: [${quote(`${stack}/${id}`)}]`)
        : ['securityGroups: [default]'];
  const interfaces = members.slice(0, INTERFACES_MAX).map((member, i) => {
    const device = `device: { netns: ns-${i + 1}, name: eth0 }`;
    return `eni-${i + 1}: { ${member}, addresses: [${hostOf(resources, i)}], ${device} }`;
  });
  return `{ templates: [${quote(name)}], interfaces: { ${interfaces.join(', ')} } }`;
}

/** An address in the first subnet, or else the first VPC, whose block is plain text. */
function hostOf(resources: Node | undefined, index: number): string {
  const blocks =
    resources?.kind !== 'mapping'
      ? []
      : resources.entries.map(({ value }) => ({
          type: text(get(value, 'Type')),
          block: text(get(get(value, 'Properties'), 'CidrBlock')),
        }));
  const written = ['AWS::EC2::Subnet', 'AWS::EC2::VPC'].flatMap((kind) =>
    blocks.filter(({ type, block }) => type === kind && block !== '').map(({ block }) => block),
  );
  const parsed = parseCidr(written[0] ?? DEFAULT_BLOCK, 'mask');
  const cidr =
    parsed.ok && parsed.value.family === 4 && parsed.value.length <= 27 ? parsed.value : undefined;
  if (cidr === undefined) return `10.0.0.${FIRST_HOST + index}`;
  return formatAddress({ family: 4, words: [cidr.words[0] + FIRST_HOST + index] });
}

function text(node: Node | undefined): string {
  return node?.kind === 'scalar' && node.tag === undefined ? node.text : '';
}

function isPlain(key: string): boolean {
  return /^[A-Za-z0-9]+$/.test(key);
}

/** Quotes a text as YAML needs it inside brackets. */
function quote(word: string): string {
  return /^[A-Za-z][A-Za-z0-9._/-]*$/.test(word) ? word : JSON.stringify(word);
}
