/**
 * This file reads the resources of a template that calls of the estate can make, beside groups and rules: VPCs, their
 * blocks, subnets and network interfaces; and the tags of all of them.
 *
 * A property that only AWS could know makes the resource fail, with the reason: nothing is made otherwise than the
 * template says.
 */
import {
  KIND_NETWORK_INTERFACE,
  KIND_SUBNET,
  KIND_VPC,
  KIND_VPC_BLOCK,
} from '../../cloudformation/kinds.ts';
import { readProperty } from '../../cloudformation/calls.ts';
import type { Resource } from '../../cloudformation/resources.ts';
import type { Scope } from '../../cloudformation/scope.ts';
import { toJson } from '../../cloudformation/to-json.ts';
import type { PrefixList, Rule } from '../../policy/model.ts';
import type { Tag } from '../../policy/tags.ts';

/** What is to be made. Ids in it are physical ones. */
export type Spec =
  | {
      readonly kind: 'group';
      readonly name: string;
      readonly description: string;
      /** Undefined: the default VPC. */
      readonly vpcId: string | undefined;
    }
  | { readonly kind: 'rule' }
  | { readonly kind: 'prefixList'; readonly list: PrefixList }
  | {
      readonly kind: 'vpc';
      readonly cidr: string | undefined;
      readonly defaultGroupId: string;
      readonly hasDnsHostnames: boolean;
      readonly hasDnsSupport: boolean;
    }
  | { readonly kind: 'vpcBlock'; readonly vpcId: string; readonly cidr: string | undefined }
  | {
      readonly kind: 'subnet';
      readonly vpcId: string;
      readonly cidr: string | undefined;
      readonly ipv6Cidr: string | undefined;
      readonly zone: string | undefined;
      readonly mapsPublicIp: boolean;
    }
  | {
      readonly kind: 'interface';
      readonly subnetId: string;
      readonly addresses: readonly string[];
      readonly ipv6Addresses: readonly string[];
      readonly groupIds: readonly string[];
      readonly description: string;
      readonly sourceDestCheck: boolean;
    }
  /** The default group loses AWS's own rules. */
  | { readonly kind: 'emptied'; readonly groupIds: readonly string[] }
  /** Nothing is made of it. */
  | { readonly kind: 'none' }
  | { readonly kind: 'unreadable'; readonly reason: string };

export interface DesiredResource {
  readonly logicalId: string;
  readonly type: string;
  readonly physicalId: string;
  readonly fingerprint: string;
  /** What of it was not understood, or that nothing is made of it. */
  readonly note: string | undefined;
  readonly facts: Readonly<Record<string, string>>;
  readonly spec: Spec;
  /** Rules that it says, with their groups. */
  readonly rules: readonly { readonly groupId: string; readonly rule: Rule }[];
  readonly tags: readonly Tag[];
  readonly isRetained: boolean;
}

class Unreadable extends Error {}

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** Properties of one resource, as they are with everything evaluated. */
export class Properties {
  private readonly scope: Scope;
  private readonly resource: Resource;

  constructor(scope: Scope, resource: Resource) {
    this.scope = scope;
    this.resource = resource;
  }

  /** Undefined: it is not there. @throws Unreadable if only AWS knows it */
  json(name: string): Json | undefined {
    const value = readProperty(this.scope, this.resource.properties, name);
    if (value === undefined) return undefined;
    const text = toJson(this.scope, value, value);
    if (typeof text === 'string') return JSON.parse(text) as Json;
    const why = text.kind === 'unknown' ? text.reason : 'it is in error';
    throw new Unreadable(`${name} can't be known here: ${why}`);
  }

  text(name: string): string | undefined {
    const value = this.json(name);
    return value === undefined || value === null ? undefined : plainText(value);
  }

  need(name: string): string {
    const value = this.text(name);
    if (value === undefined)
      throw new Unreadable(`Properties validation failed: required key [${name}] not found`);
    return value;
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.text(name);
    return value === undefined ? fallback : value.toLowerCase() === 'true';
  }

  texts(name: string): readonly string[] {
    return listOf(this.json(name)).map(plainText);
  }

  /** The texts under `key` of a list of mappings. */
  textsWithin(name: string, key: string): readonly string[] {
    return listOf(this.json(name)).flatMap((item) => {
      const value = isObject(item) ? item[key] : undefined;
      return value === undefined ? [] : [plainText(value)];
    });
  }

  tags(): readonly Tag[] {
    return listOf(this.json('Tags')).flatMap((item) =>
      isObject(item)
        ? [{ key: plainText(item['Key'] ?? ''), value: plainText(item['Value'] ?? '') }]
        : [],
    );
  }
}

/** Reads one of the kinds of this file; anything else has nothing to be made of it. */
export function readSpec(
  properties: Properties,
  { type }: Resource,
  defaultGroupId: () => string,
): Spec {
  return readable(() => {
    switch (type) {
      case KIND_VPC:
        return {
          kind: 'vpc',
          cidr: properties.text('CidrBlock'),
          defaultGroupId: defaultGroupId(),
          hasDnsHostnames: properties.flag('EnableDnsHostnames', false),
          hasDnsSupport: properties.flag('EnableDnsSupport', true),
        };
      case KIND_VPC_BLOCK:
        return {
          kind: 'vpcBlock',
          vpcId: properties.need('VpcId'),
          cidr: properties.text('CidrBlock'),
        };
      case KIND_SUBNET:
        return {
          kind: 'subnet',
          vpcId: properties.need('VpcId'),
          cidr: properties.text('CidrBlock'),
          ipv6Cidr: properties.text('Ipv6CidrBlock'),
          zone: properties.text('AvailabilityZone'),
          mapsPublicIp: properties.flag('MapPublicIpOnLaunch', false),
        };
      case KIND_NETWORK_INTERFACE:
        return readInterface(properties);
      default:
        return { kind: 'none' };
    }
  });
}

/** The tags, or what can't be known of them. */
export function readTags(properties: Properties): readonly Tag[] | string {
  try {
    return properties.tags();
  } catch (error) {
    if (error instanceof Unreadable) return error.message;
    throw error;
  }
}

function readInterface(properties: Properties): Spec {
  const primary = properties.text('PrivateIpAddress');
  const others = properties.textsWithin('PrivateIpAddresses', 'PrivateIpAddress');
  return {
    kind: 'interface',
    subnetId: properties.need('SubnetId'),
    addresses: [...new Set([...(primary === undefined ? [] : [primary]), ...others])],
    ipv6Addresses: properties.textsWithin('Ipv6Addresses', 'Ipv6Address'),
    groupIds: properties.texts('GroupSet'),
    description: properties.text('Description') ?? '',
    sourceDestCheck: properties.flag('SourceDestCheck', true),
  };
}

function readable(read: () => Spec): Spec {
  try {
    return read();
  } catch (error) {
    if (error instanceof Unreadable) return { kind: 'unreadable', reason: error.message };
    throw error;
  }
}

function listOf(value: Json | undefined): readonly Json[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? (value as readonly Json[]) : [value];
}

function isObject(value: Json): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function plainText(value: Json): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
