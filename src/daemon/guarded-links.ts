/**
 * GuardedLinks keeps the host from every interface that is attached, or that fits a match (ports/link-match.ts)
 * whether it can be attached or not, and from the host's ends of pairs that we make. What it is asked about is the
 * host's side of a device (ports/host-side.ts).
 *
 * Where two fit, nobody knows which is the instance's. The first that came would be a guess too, and another one
 * after a restart of the daemon. So neither is attached, and neither is left to the host, whose network is past
 * the groups: both are guarded (native/guard.c). One that fits no longer stays guarded as well: nothing is opened
 * that nobody asked to be opened. It is the host's again when the configuration has no such match any more.
 *
 * A guard is known by the interface's name, and names change hands. From Linux 6.16 on a guard holds for whatever has
 * the name, so one that is renamed is open until it is guarded by its new name; before that the guard stays with the
 * interface. So a guard is set anew for the new name, and the guard of a name that belongs to none of ours is removed.
 * But a name that the configuration has keeps its guard: what has it next is to be attached, or is a stranger that
 * nobody asked to be let in.
 *
 * A daemon that was killed leaves its guards. `sweep` removes those of interfaces that are gone. It never opens one
 * that is there.
 */
import type { Logger } from 'pino';
import { isSameDevice, type Device, type DeviceSpec } from '../ports/device.ts';
import { whyNotOne } from '../ports/find-link.ts';
import { hostSide } from '../ports/host-side.ts';
import { namespaceAt } from '../ports/namespace.ts';
import { fitsMatch, type Link } from '../ports/link-match.ts';
import type { Native } from '../ports/native.ts';

type Netns = string | undefined;
type Calls = 'listLinks' | 'listGuards' | 'guardDevice' | 'unguardDevice' | 'lookAtDevice';

/** An interface that the host is kept from. */
interface Guarded {
  /** Its name when it was guarded. */
  readonly name: string;
  /** What it fitted last. */
  readonly spec: DeviceSpec;
  /** Guarding it did not fail. */
  readonly isSet: boolean;
}

/** A namespace, and the interfaces in it that the host is kept from, by index. */
interface Place {
  /** Tells it from another that has the path later (namespaceAt). */
  readonly namespace: string | undefined;
  readonly guarded: Map<number, Guarded>;
}

/** Interfaces of a namespace that are to be looked at. */
export interface Spot {
  readonly netns: Netns;
  readonly ifindexes: ReadonlySet<number>;
  readonly names: ReadonlySet<string>;
}

export class GuardedLinks {
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
    const side = hostSide(spec);
    if (side !== undefined && ifindex !== 0)
      this.inNetns(side).set(ifindex, { name, spec: side, isSet: true });
  }

  /** Whether an interface is guarded because of `spec`. */
  isGuardedFor(spec: DeviceSpec, ifindex: number): boolean {
    const known = this.places.get(spec.netnsPath)?.guarded.get(ifindex);
    return known !== undefined && isSameDevice(known.spec, spec);
  }

  /**
   * Guards all that fit, where they are not one.
   * @returns why none can be attached; undefined: one can, or it is known by its name
   */
  hold(spec: DeviceSpec, links: readonly Link[]): string | undefined {
    const { match } = spec;
    if (match === undefined) return undefined;
    const fitting = links.filter((link) => fitsMatch(match, link));
    const why = whyNotOne(match, fitting);
    const guarded = this.inNetns(spec);
    for (const link of fitting) {
      const known = guarded.get(link.ifindex);
      const isSet = known?.name === link.name && known.isSet;
      if (why !== undefined && !isSet) this.guard(spec, link);
      else guarded.set(link.ifindex, { name: link.name, spec, isSet });
    }
    return why;
  }

  /**
   * Guards one that has just come, before it is opened. Why that fails will be told when it is opened. The kernel tells
   * of each several times before it is.
   */
  guardEarly(spec: DeviceSpec, { name, ifindex }: Link): void {
    const known = this.places.get(spec.netnsPath)?.guarded.get(ifindex);
    if (known?.name === name && known.isSet) return;
    try {
      this.native.guardDevice(spec.netnsPath, name);
      this.inNetns(spec).set(ifindex, { name, spec, isSet: true });
    } catch {
      // Opening it fails for the same reason.
    }
  }

  /** Guards what has the name of an attached interface that is called otherwise by now. It is not attached. */
  guardStranger(spec: DeviceSpec, links: readonly Link[]): void {
    const link = links.find(({ name }) => name === spec.name);
    const guarded = this.inNetns(spec);
    if (link === undefined || guarded.get(link.ifindex)?.name === link.name) return;
    this.log.warn(
      { device: spec.name },
      'another interface has the name of one that was renamed; it is not attached, and the host is kept from it',
    );
    // Not only if it seems unguarded: before Linux 6.16 the guard of the name is still with the other one.
    const isSet = this.attempt(() => {
      this.native.guardDevice(spec.netnsPath, link.name);
      return true;
    });
    guarded.set(link.ifindex, { name: link.name, spec, isSet: isSet ?? false });
  }

  /**
   * Follows interfaces that were renamed or deleted, in each namespace that has guarded ones, and guards anew those
   * whose guard was removed.
   * @param isMeant of a namespace as a whole; absent: all
   */
  follow(listOf: (netns: Netns) => readonly Link[], isMeant?: (netns: Netns) => boolean): void {
    this.toldBefore = this.told;
    this.told = new Set();
    for (const [netns, { namespace, guarded }] of this.places) {
      if (isMeant?.(netns) === false) continue;
      const isThere = netns === undefined || this.attempt(() => namespaceAt(netns)) === namespace;
      if (!isThere) guarded.clear();
      if (guarded.size === 0) this.places.delete(netns);
      const links = guarded.size === 0 ? undefined : this.attempt(() => listOf(netns));
      if (links === undefined) continue;
      for (const [ifindex, known] of guarded) this.followOne(netns, guarded, links, ifindex, known);
    }
  }

  /** Follows some interfaces. */
  followAt({ netns, ifindexes, names }: Spot, listOf: (netns: Netns) => readonly Link[]): void {
    const place = this.places.get(netns);
    if (place === undefined) return;
    const { guarded } = place;
    const meant = [...guarded].filter(
      ([ifindex, { name }]) => ifindexes.has(ifindex) || names.has(name),
    );
    const links = meant.length === 0 ? undefined : this.attempt(() => listOf(netns));
    if (links === undefined) return;
    for (const [ifindex, known] of meant) this.followOne(netns, guarded, links, ifindex, known);
  }

  private followOne(
    netns: Netns,
    guarded: Place['guarded'],
    links: readonly Link[],
    ifindex: number,
    { name, spec }: Guarded,
  ): void {
    const link = links.find((one) => one.ifindex === ifindex);
    if (link === undefined) guarded.delete(ifindex);
    else this.guard(spec, link);
    const isConfigured = spec.match === undefined && spec.name === name;
    if (link?.name === name || isConfigured) return;
    const holder = links.find((one) => one.name === name);
    // One that fits as well has just come, and must not be opened for a moment.
    const isOurs = holder !== undefined && (guarded.has(holder.ifindex) || isFor(spec, holder));
    if (!isOurs) this.attempt(() => this.native.unguardDevice(netns, name));
  }

  /**
   * Lets the host have what only `droppedSpecs` stood for.
   * @param keptSpecs what the configuration has
   */
  release(droppedSpecs: readonly DeviceSpec[], keptSpecs: readonly DeviceSpec[]): void {
    const [dropped, kept] = [hostSides(droppedSpecs), hostSides(keptSpecs)];
    const isDropped = (spec: DeviceSpec): boolean => dropped.some((one) => isSameDevice(one, spec));
    for (const [netns, { guarded }] of this.places) {
      const gone = [...guarded].filter(([, { spec }]) => isDropped(spec));
      if (gone.length === 0) continue;
      const links = this.attempt(() => this.native.listLinks(netns)) ?? [];
      for (const [ifindex, { name, isSet }] of gone) {
        const link = links.find((one) => one.ifindex === ifindex);
        const heir = link && kept.find((one) => one.netnsPath === netns && isFor(one, link));
        guarded.delete(ifindex);
        if (heir === undefined) this.unguard(netns, name);
        else guarded.set(ifindex, { name, spec: heir, isSet });
      }
    }
    // What waited for its interface may have a guard of an earlier daemon's.
    for (const { netnsPath, name, match } of dropped) {
      if (match !== undefined) continue;
      const kin = kept.filter((one) => one.netnsPath === netnsPath);
      const names = [...(this.places.get(netnsPath)?.guarded.values() ?? [])];
      if (names.some((one) => one.name === name) || kin.some((one) => one.name === name)) continue;
      if (!this.isMatched(netnsPath, name, kin)) this.unguard(netnsPath, name);
    }
  }

  private isMatched(netns: Netns, name: string, kin: readonly DeviceSpec[]): boolean {
    if (!kin.some(({ match }) => match !== undefined)) return false;
    const links = this.attempt(() => this.native.listLinks(netns));
    const link = links?.find((one) => one.name === name);
    return link !== undefined && kin.some((one) => isFor(one, link));
  }

  /**
   * Removes the guards of interfaces that are gone: a daemon that was killed left them, and the next interface of that
   * name may be anybody's.
   * @param specs what the configuration has
   */
  sweep(specs: readonly DeviceSpec[]): void {
    const sides = hostSides(specs);
    for (const netns of new Set([undefined, ...sides.map(({ netnsPath }) => netnsPath)])) {
      const kin = sides.filter(({ netnsPath }) => netnsPath === netns);
      try {
        this.sweepIn(netns, new Set(kin.map(({ name }) => name)));
      } catch (error) {
        // Without rights there, or without the namespace, nothing is attached in it either.
        this.log.debug({ err: error, netns }, 'guards of an earlier daemon are not looked for');
      }
    }
  }

  private sweepIn(netns: Netns, configured: ReadonlySet<string>): void {
    // The guards first: of what comes after the list, no guard is known.
    const guards = this.native.listGuards(netns);
    const links = new Set(this.native.listLinks(netns).map(({ name }) => name));
    const gone = guards.filter((name) => !links.has(name) && !configured.has(name));
    for (const name of gone) {
      this.native.unguardDevice(netns, name);
      // It may have come between the list and now.
      if (this.native.lookAtDevice(netns, name).ifindex !== 0) this.native.guardDevice(netns, name);
    }
    if (gone.length > 0)
      this.log.info(
        { netns, interfaces: gone },
        'removed what an earlier daemon left to keep the host from interfaces that are gone',
      );
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
    const guarded = this.inNetns(spec);
    const before = guarded.get(ifindex);
    const isSet = this.attempt(() => {
      if (this.native.lookAtDevice(netnsPath, name).isGuarded) return true;
      this.native.guardDevice(netnsPath, name);
      if (before?.name === name && before.isSet)
        this.log.warn(
          { device: name },
          'the table of nftables that kept the host from it was removed, and is there again; keep tables named secgroupd_… when the ruleset is flushed',
        );
      return true;
    });
    guarded.set(ifindex, { name, spec, isSet: isSet ?? false });
  }

  private unguard(netns: Netns, name: string): void {
    try {
      this.native.unguardDevice(netns, name);
    } catch (error) {
      // With its namespace the interface is gone, and the guard with it.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.log.warn({ err: error, device: name, netns }, 'the host is still kept from it');
    }
  }

  /** One interface must not keep the daemon from the others. */
  private attempt<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (!this.told.has(why) && !this.toldBefore.has(why))
        this.log.warn({ why }, 'the host could not be kept from an interface');
      this.told.add(why);
      return undefined;
    }
  }
}

function hostSides(specs: readonly DeviceSpec[]): readonly DeviceSpec[] {
  return specs.flatMap((spec) => hostSide(spec) ?? []);
}

/** Whether a spec is for this one. */
function isFor({ match, name }: DeviceSpec, link: Link): boolean {
  return match === undefined ? name === link.name : fitsMatch(match, link);
}
