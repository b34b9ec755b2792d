/**
 * Reads what `pulumi stack export` prints. Pulumi's provider for AWS is made of Terraform's: a resource has the same
 * attributes, in camelCase, so it is read as one of Terraform's. Source: Pulumi's "Deployment" of version 3.
 */
import { isObject, objectsOf, own, textOf, type JsonObject } from '../../source/json-values.ts';
import type { Instance } from './resource.ts';

/** What is called otherwise in Pulumi: by the token's module and type. */
const TYPES: ReadonlyMap<string, string> = new Map([
  ['vpc/SecurityGroupIngressRule', 'aws_vpc_security_group_ingress_rule'],
  ['vpc/SecurityGroupEgressRule', 'aws_vpc_security_group_egress_rule'],
  ['ec2/ManagedPrefixList', 'aws_ec2_managed_prefix_list'],
  ['ec2/ManagedPrefixListEntry', 'aws_ec2_managed_prefix_list_entry'],
  ['ec2/NetworkInterfaceSecurityGroupAttachment', 'aws_network_interface_sg_attachment'],
  ['lb/LoadBalancer', 'aws_lb'],
  ['rds/Instance', 'aws_db_instance'],
]);
/** Lists that Pulumi calls by their plural. */
const SINGULAR: ReadonlyMap<string, string> = new Map([
  ['entries', 'entry'],
  ['vpc_configs', 'vpc_config'],
  ['routes', 'route'],
]);
/** How Pulumi marks a value that it has encrypted. */
const SECRET = '4dabf18193072939515e22adb298388d';
const DEPTH_MAX = 12;

export function isPulumi(value: unknown): boolean {
  return isObject(value) && Array.isArray(own(own(value, 'deployment'), 'resources'));
}

export function readPulumi(root: JsonObject): readonly Instance[] {
  return objectsOf(own(own(root, 'deployment'), 'resources')).flatMap((resource) => {
    const [token, urn] = [textOf(own(resource, 'type')), textOf(own(resource, 'urn'))];
    const parts = /^aws:([a-z0-9]+)\/[A-Za-z0-9]+:([A-Za-z0-9]+)$/.exec(token ?? '');
    if (parts === null || urn === undefined || own(resource, 'delete') === true) return [];
    const [, module, name] = parts;
    const type = TYPES.get(`${module}/${name}`) ?? typeOf(module, name);
    const isSecret = (value: unknown): boolean => own(value, SECRET) !== undefined;
    const outputs = Object.entries(snakeKeys(own(resource, 'outputs')) as JsonObject);
    const unknown = outputs.filter(([, value]) => isSecret(value)).map(([key]) => [key, true]);
    const id = textOf(own(resource, 'id'));
    return [
      {
        ...{ address: urn.slice(urn.lastIndexOf('::') + 2), module: [], type, key: undefined },
        name: urn.slice(urn.lastIndexOf('::') + 2),
        isData: own(resource, 'external') === true,
        values: { ...Object.fromEntries(outputs), ...(id === undefined ? {} : { id }) },
        unknown: Object.fromEntries(unknown) as JsonObject,
      },
    ];
  });
}

function typeOf(module: string, name: string): string {
  return module === 'ec2' ? `aws_${snake(name)}` : `aws_${module}_${snake(name)}`;
}

function snake(text: string): string {
  return text
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1_$2')
    .toLowerCase();
}

function snakeKeys(value: unknown, depth = 0): unknown {
  if (depth > DEPTH_MAX) return {};
  if (Array.isArray(value)) return value.map((one) => snakeKeys(one, depth + 1));
  if (!isObject(value)) return depth === 0 ? {} : value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => {
      // Names of tags are whoever's who wrote them.
      if (key === 'tags' || key === SECRET) return [key, one];
      const name = snake(key);
      return [SINGULAR.get(name) ?? name, snakeKeys(one, depth + 1)];
    }),
  );
}
