/**
 * This file says which device stands in for an interface: by its tags, or by the instance that a call attaches it to.
 *
 * The EC2 API has instances; here there are devices in network namespaces. A tool that knows the EC2 API alone, such as
 * Terraform, says by tags of an interface where it is to be: `secgroupd:device` (or `secgroupd:netns`) attaches it, and
 * taking these tags away detaches it.
 *
 * An instance is where its interfaces are: a network namespace of a host. Its first interface is declared in a file, or
 * attached by tags, of which `secgroupd:instance` gives the instance its id. AttachNetworkInterface adds further ones
 * beside it, whose devices are called eth and the device index.
 */
import { checkDeviceName, resolveNetns } from '../config/config-devices.ts';
import { MTU_LIMITS } from '../config/limits.ts';
import { AUDIT_TAG } from '../policy/audit-tags.ts';
import { attachmentId } from '../policy/ids.ts';
import type { InterfaceId } from '../policy/model.ts';
import { PORT_KIND_NAMES, portKind } from '../ports/port-kind.ts';
import { collect, makeRefusal, type Checked, type Refusal } from '../policy/refusals.ts';
import { refused } from './calls.ts';
import type { Edit } from './edit.ts';
import type { Estate } from './estate.ts';
import type { AttachedDevice, Attachment, EstateInterface, Tags } from './model.ts';

export const TAG_PREFIX = 'secgroupd:';
const DEVICE_NAME = 'eth';
/** Source: none; AWS's largest instances take 15 interfaces a card. */
const DEVICE_INDEX_MAX = 999;
/** Names below it are looked up by each host; here only their form counts. */
const NETNS_DIRECTORY = '/run/netns';

/** The tags that say where an interface is; `secgroupd:` in front of each. */
const TAG_NAMES = [
  'host',
  'device',
  'netns',
  'kind',
  'mtu',
  'configure',
  'persist',
  'instance',
] as const;
/** A caller of the API who may tag interfaces must not choose files of the host. */
const TAGGED_KINDS = PORT_KIND_NAMES.filter((name) => !portKind(name).isStream);

type TagName = (typeof TAG_NAMES)[number];

/** Where the tags of an interface say that it is; undefined if they say nothing of it. */
export function attachmentFromTags(
  edit: Edit,
  id: InterfaceId,
  tags: Tags,
): Checked<Attachment | undefined> {
  const { estate } = edit;
  const given = placeTags(tags);
  if (!given.ok) return given;
  const read = given.value;
  if (read('device') === undefined && read('netns') === undefined)
    return { ok: true, value: undefined };
  const device = readDevice(read, undefined);
  if (!device.ok) return device;
  const [only, ...others] = estate.applied().keys();
  const host = read('host') ?? (others.length === 0 ? only : undefined);
  if (host === undefined) {
    const message = 'The interface says its device, and not its host';
    return refused('InvalidParameterValue', message, `add the tag ${TAG_PREFIX}host`);
  }
  const refusals = [...checkHost(estate, host), ...checkDevice(estate, id, host, device.value)];
  if (refusals.length > 0) return { ok: false, refusals };
  edit.attach(id, host);
  const own = ownAttachment(id, host, device.value, new Date());
  const value: Attachment = {
    ...own,
    instanceId: read('instance') ?? own.instanceId,
    deviceIndex: Number(/^eth(\d{1,3})$/.exec(device.value.name)?.[1] ?? 0),
    isByTags: true,
  };
  return { ok: true, value };
}

/** The attachment of an interface that is the first of an instance of its own. Both have the interface's digits. */
export function ownAttachment(
  id: InterfaceId,
  host: string,
  device: AttachedDevice,
  at: Date,
): Attachment {
  const own = attachmentId(id);
  return {
    id: own,
    host,
    instanceId: instanceOf(own),
    deviceIndex: 0,
    attachedAt: at.toISOString(),
    device,
    isByTags: false,
  };
}

/** The instance of an attachment that is the first one of it: it has the same digits. */
export function instanceOf(attachment: string): string {
  return `i-${attachment.slice('eni-attach-'.length)}`;
}

/** The place of a further device of an instance. Tags of the interface may say of what kind and how large it is. */
export function placeInInstance(
  estate: Estate,
  { tags }: Pick<EstateInterface, 'tags'>,
  instanceId: string,
  deviceIndex: number,
): Checked<{ readonly host: string; readonly device: AttachedDevice }> {
  const siblings = estate
    .list('interfaces')
    .flatMap(({ attachment }) => (attachment?.instanceId === instanceId ? [attachment] : []));
  const [first] = siblings;
  if (first === undefined) {
    const message = `The instance ID '${instanceId}' does not exist`;
    const hint = `an interface with the tag ${TAG_PREFIX}instance and this value says where it is`;
    return refused('InvalidInstanceID.NotFound', message, hint);
  }
  if (!Number.isInteger(deviceIndex) || deviceIndex < 0 || deviceIndex > DEVICE_INDEX_MAX) {
    const message = `Value (${deviceIndex}) for parameter deviceIndex is invalid. It goes from 0 to ${DEVICE_INDEX_MAX}.`;
    return refused('InvalidParameterValue', message);
  }
  if (siblings.some((one) => one.deviceIndex === deviceIndex)) {
    const message = `Instance '${instanceId}' already has an interface attached at device index '${deviceIndex}'.`;
    return refused('InvalidParameterValue', message);
  }
  const read = placeTags(tags);
  if (!read.ok) return read;
  const device = readDevice(read.value, {
    ...first.device,
    name: `${DEVICE_NAME}${deviceIndex}`,
  });
  return device.ok ? { ok: true, value: { host: first.host, device: device.value } } : device;
}

export function sameDevice(a: AttachedDevice, b: AttachedDevice): boolean {
  return (
    a.kind === b.kind &&
    a.name === b.name &&
    a.netns === b.netns &&
    a.mtu === b.mtu &&
    a.configure === b.configure &&
    a.persist === b.persist
  );
}

type ReadTag = (name: TagName) => string | undefined;

/** What the tags of a place say, by their names without the prefix. */
function placeTags(tags: Tags): Checked<ReadTag> {
  const given = new Map(
    tags.flatMap(({ key, value }) =>
      key.startsWith(TAG_PREFIX) && key !== AUDIT_TAG
        ? [[key.slice(TAG_PREFIX.length), value] as const]
        : [],
    ),
  );
  const unknown = [...given.keys()].filter((name) => !TAG_NAMES.some((one) => one === name));
  if (unknown.length === 0) return { ok: true, value: (name) => given.get(name) };
  const known = [...TAG_NAMES.map((name) => TAG_PREFIX + name), AUDIT_TAG].join(', ');
  return refused('InvalidParameterValue', `There is no tag ${TAG_PREFIX}${unknown[0]}`, known);
}

/** @param beside what holds where no tag says otherwise; undefined: an interface's own defaults */
function readDevice(read: ReadTag, beside: AttachedDevice | undefined): Checked<AttachedDevice> {
  const kindText = read('kind') ?? beside?.kind ?? PORT_KIND_NAMES[0];
  const kind = TAGGED_KINDS.find((one) => one === kindText);
  if (kind === undefined) return badTag('kind', kindText, TAGGED_KINDS.join(' or '));
  const mtuText = read('mtu') ?? String(beside?.mtu ?? MTU_LIMITS.otherwise);
  const mtu = /^\d{1,6}$/.test(mtuText) ? Number(mtuText) : -1;
  if (mtu < MTU_LIMITS.min || mtu > MTU_LIMITS.max)
    return badTag('mtu', mtuText, `a number from ${MTU_LIMITS.min} to ${MTU_LIMITS.max}`);
  const netns = read('netns') ?? beside?.netns;
  const { isAttached } = portKind(kind);
  if (isAttached && read('device') === undefined)
    return badTag('device', undefined, 'the name of the interface that is attached');
  const flags = [
    ['configure', !isAttached && (beside?.configure ?? netns !== undefined)],
    ['persist', !isAttached && (beside?.persist ?? false)],
  ] as const;
  const [configure, persist] = flags.map(([name, otherwise]) => {
    const text = read(name) ?? String(otherwise);
    return text === 'true' ? true : text === 'false' ? false : undefined;
  });
  if (configure === undefined) return badTag('configure', read('configure'), 'true or false');
  if (persist === undefined) return badTag('persist', read('persist'), 'true or false');
  const name = read('device') ?? beside?.name ?? `${DEVICE_NAME}0`;
  return { ok: true, value: { kind, name, netns, mtu, configure, persist } };
}

function badTag(name: TagName, value: string | undefined, right: string): Checked<never> {
  const message = `Value (${value}) for the tag ${TAG_PREFIX}${name} is invalid`;
  return refused('InvalidParameterValue', message, `it is ${right}`);
}

/** What stands against a caller's choice of a host: nothing would be in force on one that does not run. */
export function checkHost(estate: Estate, host: string): readonly Refusal[] {
  const hosts = [...estate.alive().keys()];
  if (hosts.includes(host)) return [];
  const message = `No secgroupd that has this store runs on the host '${host}'`;
  const hint = hosts.length === 0 ? 'start one' : `hosts: ${hosts.join(', ')}`;
  return [makeRefusal('InvalidParameterValue', message, hint)];
}

/** What stands against an interface's having a device on a host. */
export function checkDevice(
  estate: Estate,
  id: InterfaceId,
  host: string,
  { kind, name, netns, configure, persist }: AttachedDevice,
): readonly Refusal[] {
  const wrongName = checkDeviceName(name, kind);
  const resolved = netns === undefined ? undefined : resolveNetns(netns, NETNS_DIRECTORY);
  const other = estate
    .interfacesOfHost(host)
    .find(
      (one) =>
        one.id !== id &&
        one.attachment?.device.name === name &&
        one.attachment.device.netns === netns,
    );
  return collect(
    portKind(kind).isStream && (configure || persist || netns !== undefined)
      ? makeRefusal(
          'InvalidParameterValue',
          'A stream is a socket and no interface',
          'leave netns, configure and persist out',
        )
      : undefined,
    portKind(kind).isAttached && (configure || persist)
      ? makeRefusal(
          'InvalidParameterValue',
          'An attached device is configured by who makes it',
          'leave configure and persist out',
        )
      : undefined,
    wrongName === undefined
      ? undefined
      : makeRefusal('InvalidParameterValue', wrongName.message, wrongName.hint),
    resolved === undefined || resolved.ok
      ? undefined
      : makeRefusal('InvalidParameterValue', resolved.message, resolved.hint),
    other === undefined
      ? undefined
      : makeRefusal(
          'InvalidParameterValue',
          `The device ${name} in ${netns ?? 'the host'} is that of ${other.id}`,
        ),
  );
}
