/**
 * MatchedLinks keeps the host from every interface that fits a match (ports/link-match.ts), whether it can be
 * attached or not.
 *
 * Where two fit, nobody knows which is the instance's. The first that came would be a guess too, and another one
 * after a restart of the daemon. So neither is attached, and neither is left to the host, whose network is past
 * the groups: both are guarded (native/guard.c). One that fits no longer stays guarded as well: nothing is opened
 * that nobody asked to be opened. It is the host's again when the configuration has no such match any more.
 *
 * A guard is known by the interface's name, and names change hands here. From Linux 6.16 on a guard holds for
 * whatever has the name; before that it stays with the interface. So each second one that was renamed is guarded
 * by its new name, and the guard of a name that belongs to none of ours is removed.
 */
import type { Logger } from 'pino';
import { isSameDevice, type Device, type DeviceSpec } from '../ports/device.ts';
import { whyNotOne } from '../ports/find-link.ts';
import { namespaceAt } from '../ports/namespace.ts';
import { fitsMatch, type Link } from '../ports/link-match.ts';
import type { Native } from '../ports/native.ts';

type Netns = string | undefined;
type Calls = 'listLinks' | 'guardDevice' | 'unguardDevice' | 'lookAtDevice';

/** An interface that the host is kept from. */
interface Guarded {
  /** Its name when it was guarded. */
  readonly name: string;
  /** What it fitted last. */
  readonly spec: DeviceSpec;
}

/** A namespace, and the interfaces in it that the host is kept from, by index. */
interface Place {
  /** Tells it from another that has the path later (namespaceAt). */
  readonly namespace: string | undefined;
  readonly guarded: Map<number, Guarded>;
}

export class MatchedLinks {
  private readonly native: Pick<Native, Calls>;
  private readonly log: Logger;
  /** By the path of the namespace. */
  private readonly places = new Map<Netns, Place>();
  /** Errors that were logged in this round, and in the one before: what fails fails again each second. */
  private told = new Set<string>();
  private toldBefore = new Set<string>();

  constructor(native: Pick<Native, Calls>, log: Logger) {
    this.native = native;
    this.log = log;
  }

  /** Notes a device that was opened: opening guards it. */
  note({ spec, name, ifindex }: Device): void {
    if (spec.match !== undefined && ifindex !== 0) this.inNetns(spec).set(ifindex, { name, spec });
  }

  /**
   * Guards all that fit, where they are not one.
   * @returns why none can be attached; undefined: one can
   */
  hold(spec: DeviceSpec, links: readonly Link[]): string | undefined {
    const { match } = spec;
    if (match === undefined) return undefined;
    const fitting = links.filter((link) => fitsMatch(match, link));
    const why = whyNotOne(match, fitting);
    for (const link of fitting)
      if (why !== undefined) this.guard(spec, link);
      else this.inNetns(spec).set(link.ifindex, { name: link.name, spec });
    return why;
  }

  /**
   * Follows interfaces that were renamed or deleted, in each namespace that has guarded ones, and guards anew those
   * whose guard was removed.
   * @param open devices, whose guards their owner looks after
   */
  follow(open: readonly Device[], listOf: (netns: Netns) => readonly Link[]): void {
    this.toldBefore = this.told;
    this.told = new Set();
    for (const [netns, { namespace, guarded }] of this.places) {
      const isThere = netns === undefined || this.attempt(() => namespaceAt(netns)) === namespace;
      if (!isThere) guarded.clear();
      if (guarded.size === 0) this.places.delete(netns);
      const links = guarded.size === 0 ? undefined : this.attempt(() => listOf(netns));
      if (links === undefined) continue;
      const isOpen = (ifindex: number): boolean =>
        open.some((one) => one.spec.netnsPath === netns && one.ifindex === ifindex);
      for (const [ifindex, { name, spec }] of guarded) {
        const link = links.find((one) => one.ifindex === ifindex);
        if (link === undefined) guarded.delete(ifindex);
        else if (link.name !== name || !isOpen(ifindex)) this.guard(spec, link);
        if (link?.name === name) continue;
        const holder = links.find((one) => one.name === name)?.ifindex;
        const isOurs = holder !== undefined && (guarded.has(holder) || isOpen(holder));
        if (!isOurs) this.attempt(() => this.native.unguardDevice(netns, name));
      }
    }
  }

  /**
   * Lets the host have what only `dropped` fitted.
   * @param kept what the configuration has
   */
  release(dropped: readonly DeviceSpec[], kept: readonly DeviceSpec[]): void {
    for (const [netns, { guarded }] of this.places) {
      const gone = [...guarded].filter(([, { spec }]) =>
        dropped.some((one) => isSameDevice(one, spec)),
      );
      if (gone.length === 0) continue;
      const links = this.attempt(() => this.native.listLinks(netns)) ?? [];
      for (const [ifindex, { name }] of gone) {
        const link = links.find((one) => one.name === name);
        const heir = link && kept.find((one) => one.netnsPath === netns && isFor(one, link));
        guarded.delete(ifindex);
        if (heir?.match !== undefined) guarded.set(link!.ifindex, { name, spec: heir });
        if (heir === undefined) this.attempt(() => this.native.unguardDevice(netns, name));
      }
    }
  }

  /** Whether an interface that was known by its name is found by a match from now on. It stays guarded then. */
  inherits({ netnsPath, name }: DeviceSpec, kept: readonly DeviceSpec[]): boolean {
    const heirs = kept.filter((one) => one.match !== undefined && one.netnsPath === netnsPath);
    if (heirs.length === 0) return false;
    const link = this.attempt(() => this.native.listLinks(netnsPath))?.find(
      (one) => one.name === name,
    );
    const heir = link && heirs.find((one) => isFor(one, link));
    if (heir !== undefined) this.inNetns(heir).set(link!.ifindex, { name, spec: heir });
    return heir !== undefined;
  }

  private inNetns({ netnsPath }: DeviceSpec): Place['guarded'] {
    const known = this.places.get(netnsPath);
    if (known !== undefined) return known.guarded;
    const namespace = netnsPath === undefined ? undefined : namespaceAt(netnsPath);
    const guarded: Place['guarded'] = new Map();
    this.places.set(netnsPath, { namespace, guarded });
    return guarded;
  }

  private guard(spec: DeviceSpec, { name, ifindex }: Link): void {
    const { netnsPath } = spec;
    this.inNetns(spec).set(ifindex, { name, spec });
    this.attempt(() => {
      if (!this.native.lookAtDevice(netnsPath, name).isGuarded)
        this.native.guardDevice(netnsPath, name);
    });
  }

  /** One interface must not keep the daemon from the others. */
  private attempt<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (!this.told.has(why) && !this.toldBefore.has(why))
        this.log.warn({ why }, 'an interface that fits could not be guarded');
      this.told.add(why);
      return undefined;
    }
  }
}

/** Whether a spec of an attached interface is for this one. */
function isFor({ match, name }: DeviceSpec, link: Link): boolean {
  return match === undefined ? name === link.name : fitsMatch(match, link);
}
