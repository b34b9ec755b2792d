/**
 * What each call of CNI does. An attachment (network, container, name of the interface) is an interface of the daemon,
 * by an id that follows from these three, or an interface that a call of the EC2 API made, attached by such an id. That
 * one has its addresses: no IPAM plugin is called for it. The owner is the network, so GC sees the interfaces of its
 * own network alone.
 *
 * Order. At ADD the daemon is asked first: if it is dead, no address is taken, and the container does not start. Then
 * come the address and the interface, and what fails gives the address back. At DEL the interface goes before its
 * address: another container that gets the address would be refused while the interface has it. If the daemon is dead,
 * both stay. A later ADD of the same attachment in another namespace removes what such a DEL left.
 *
 * Behind another plugin (`prevResult` at ADD, and no `ipam`) that plugin has made the interface, a veth pair, and given
 * the addresses. The daemon attaches the host's end. At DEL that end is taken down before the daemon lets go of it:
 * what is left of the container would reach the host past its groups, until the other plugin removes the pair.
 */
import { ControlError } from '../../control-socket/control-client.ts';
import {
  addInterface,
  askDaemon,
  findInterface,
  releaseInterface,
  type DoorQuestion,
} from '../ask-daemon.ts';
import { attachmentId } from '../../policy/ids.ts';
import type { OwnedInterfaceView } from '../../queries/owned-interfaces.ts';
import type { JsonObject } from '../json-input.ts';
import { interfaceId } from '../names.ts';
import { readSelection, type Selection } from '../selection.ts';
import { readArgs, readAttachment, type Attachment, type Env, type Verb } from './environment.ts';
import { CniError, CODES } from './failure.ts';
import { findHostEnd, clearHostEnd, takeDown } from './host-end.ts';
import { callIpam } from './ipam.ts';
import {
  badConfig,
  readValidAttachments,
  refuseUnsupported,
  type NetworkConfig,
} from './network-config.ts';
import { addressesOf, addressesOn, formatResult } from './result.ts';

const RUNTIME = 'cni';
/** A pod's name, as runtimes hand it on: it becomes the tag Name, if it can. */
const POD_NAME = 'K8S_POD_NAME';
const TAG_VALUE = /^[\w.-]{1,255}$/;
const SHORT_ID_LENGTH = 12;

export async function add(env: Env, config: NetworkConfig): Promise<JsonObject> {
  const { containerId, ifName, netns } = readAttachment(env, 'ADD');
  const attachment = { containerId, ifName, netns: netns! };
  const args = readArgs(env);
  const selection = chooseSelection(config, args);
  refuseUnsupported(config, selection.kind === 'interface');
  const question = {
    id: idOf(config, attachment),
    owner: ownerOf(config),
    selection,
    tags: { Name: tagName(args, attachment) },
  };
  return config.prevResult === undefined
    ? addOwn(env, config, attachment, question)
    : addBehind(env, config, attachment, question);
}

type Question = Omit<DoorQuestion, 'device' | 'addresses'>;
type Added = Attachment & { readonly netns: string };

/** An interface that the daemon makes. */
async function addOwn(
  env: Env,
  config: NetworkConfig,
  { ifName, netns }: Added,
  question: Question,
): Promise<JsonObject> {
  await makeWay(env, config, question, ({ device }) => device.netns === netns);
  const isLent = question.selection.kind === 'groups';
  const leased = isLent ? await callIpam('ADD', config, env) : {};
  try {
    const added = await addInterface(config.socket, {
      ...question,
      device: {
        kind: config.kind,
        name: ifName,
        netns,
        ...(config.mtu === undefined ? {} : { mtu: config.mtu }),
        configure: true,
        // The container keeps its device, addresses and routes while the daemon is away.
        persist: true,
      },
      addresses: isLent ? addressesOf(leased) : undefined,
    });
    return formatResult(config.cniVersion, netns, added, dnsOf(config, leased));
  } catch (error) {
    if (isLent) await callIpam('DEL', config, env).catch(() => undefined);
    throw error;
  }
}

/** An interface that the plugin before made. */
async function addBehind(
  env: Env,
  config: NetworkConfig,
  attachment: Added,
  question: Question,
): Promise<JsonObject> {
  const { ifName, netns } = attachment;
  const prevResult = config.prevResult!;
  const addresses = addressesOn(prevResult, attachment);
  if (addresses.length === 0) throw badConfig(`prevResult has no address of ${ifName}`);
  const name = await findHostEnd(netns, ifName);
  await makeWay(env, config, question, ({ device }) => device.name === name);
  await clearHostEnd(name);
  await addInterface(config.socket, { ...question, device: { kind: 'attach', name }, addresses });
  return { ...prevResult, cniVersion: config.cniVersion };
}

/** Removes what a DEL without a daemon left. @throws CniError if the attachment is there as it is to be */
async function makeWay(
  env: Env,
  config: NetworkConfig,
  { id, owner }: Question,
  isAsAsked: (there: OwnedInterfaceView) => boolean,
): Promise<void> {
  const before = await findInterface(config.socket, { id, owner });
  if (before === undefined) return;
  if (isAsAsked(before))
    throw badConfig(`this interface of the container is there already, as ${before.id}`);
  await remove(env, config, id);
}

export async function del(env: Env, config: NetworkConfig): Promise<undefined> {
  const attachment = readAttachment(env, 'DEL');
  if (isChained(config) && attachment.netns !== undefined) {
    // Gone with its namespace, or never made.
    const hostEnd = await findHostEnd(attachment.netns, attachment.ifName).catch(() => undefined);
    if (hostEnd !== undefined) await takeDown(hostEnd);
  }
  await remove(env, config, idOf(config, attachment));
}

export async function check(env: Env, config: NetworkConfig): Promise<undefined> {
  const attachment = readAttachment(env, 'CHECK');
  const { prevResult } = config;
  if (prevResult === undefined) throw badConfig('prevResult is missing');
  const id = idOf(config, attachment);
  const found = await findInterface(config.socket, { id, owner: ownerOf(config) });
  if (found === undefined)
    throw new CniError(
      CODES.unknownContainer,
      `the daemon has no interface ${id} of this container`,
    );
  await checkDevice(found, attachment);
  if (found.notInForce !== undefined)
    throw refusedBy(`${found.id} is not in force: ${found.notInForce}`);
  const given = addressesOn(prevResult, attachment);
  const missing = given.filter((address) => !found.addresses.includes(address));
  if (missing.length > 0) throw refusedBy(`${found.id} does not have ${missing.join(', ')}`);
  const open = (await askDaemon(config.socket, 'interfaces', {})).find(
    (one) => one.id === found.id,
  );
  if (open?.waiting !== undefined) throw refusedBy(`${found.id} is cut off: ${open.waiting}`);
  if (open?.configured !== undefined)
    throw refusedBy(`${found.id} is ${open.device} in ${open.netns ?? 'no namespace'} by now`);
  if (found.id === id) await lend('CHECK', config, env);
}

/** @throws CniError if an interface has another device than the container's */
async function checkDevice(
  { id, device }: OwnedInterfaceView,
  { netns, ifName }: Attachment,
): Promise<void> {
  if (device.kind === 'attach') {
    const hostEnd = await findHostEnd(netns!, ifName);
    if (device.name !== hostEnd)
      throw refusedBy(`${id} is ${device.name}, and the container has ${hostEnd}`);
  } else if (device.netns !== netns)
    throw refusedBy(`${id} is in ${device.netns ?? 'no namespace'}, not in ${netns}`);
}

/** Ready for ADD: the daemon answers, and has a store. */
export async function status(env: Env, config: NetworkConfig): Promise<undefined> {
  try {
    await askDaemon(config.socket, 'listInterfaces', { owner: ownerOf(config) });
  } catch (error) {
    if (error instanceof ControlError) throw new CniError(CODES.notAvailable, error.message);
    throw error;
  }
  await lend('STATUS', config, env);
}

/** Removes what the runtime no longer knows, and lets the IPAM plugin do so too, whether or not that failed. */
export async function collect(env: Env, config: NetworkConfig): Promise<undefined> {
  const keep = readValidAttachments(config).map((one) => attachmentId(idOf(config, one)));
  const owner = ownerOf(config);
  const done = await Promise.allSettled([
    askDaemon(config.socket, 'reconcileInterfaces', { owner, keep }),
    lend('GC', config, env),
  ]);
  for (const one of done) if (one.status === 'rejected') throw one.reason;
}

/** What is nearer to the container wins: CNI_ARGS, then `args.cni`, then the network. */
function chooseSelection(
  { argsGroups, argsEni, securityGroups }: NetworkConfig,
  args: ReadonlyMap<string, string>,
): Selection {
  const own = new Map(
    ['SG', 'ENI'].flatMap((key) => {
      const text = args.get(key);
      return text === undefined ? [] : [[key.toLowerCase(), text] as const];
    }),
  );
  if (own.size > 0) return readSelection(own);
  if (argsEni !== undefined && argsGroups !== undefined)
    throw badConfig(
      'args.cni has securityGroups and eni: an interface made before has its groups already',
    );
  if (argsEni !== undefined) return readSelection(new Map([['eni', argsEni]]));
  const groups = argsGroups ?? securityGroups ?? [];
  if (groups.length > 0) return { kind: 'groups', securityGroups: groups };
  throw badConfig(
    'no security group is named: write securityGroups into the network configuration, or SG=web,db into CNI_ARGS',
  );
}

/** Whether another plugin makes the interface and gives its addresses. DEL may come without its result. */
function isChained({ ipamType }: NetworkConfig): boolean {
  return ipamType === undefined;
}

/** Calls the IPAM plugin, if there is one. */
async function lend(verb: Verb, config: NetworkConfig, env: Env): Promise<void> {
  if (!isChained(config)) await callIpam(verb, config, env);
}

async function remove(env: Env, config: NetworkConfig, id: string): Promise<void> {
  // No address was lent for an interface that a call of the EC2 API made.
  if ((await releaseInterface(config.socket, id)) !== 'detached') await lend('DEL', config, env);
}

function idOf(
  { name }: NetworkConfig,
  { containerId, ifName }: Pick<Attachment, 'containerId' | 'ifName'>,
): string {
  return interfaceId(RUNTIME, name, containerId, ifName);
}

function ownerOf({ name }: NetworkConfig): string {
  return `${RUNTIME}.${name}`;
}

function tagName(args: ReadonlyMap<string, string>, { containerId }: Attachment): string {
  const pod = args.get(POD_NAME) ?? '';
  return TAG_VALUE.test(pod) ? pod : containerId.slice(0, SHORT_ID_LENGTH);
}

function dnsOf(config: NetworkConfig, leased: JsonObject): JsonObject | undefined {
  const theirs = leased['dns'] as JsonObject | undefined;
  return config.dns ?? theirs;
}

function refusedBy(message: string): CniError {
  return new CniError(CODES.refused, message);
}
