/**
 * This file has what secgroup-api's console answers below `/api/`: what every console does (console/routes.ts), and who
 * is signed in, drafts that can be applied, the history and the hosts. Each question is checked against the rights of
 * the key first (rights.ts).
 */
import type { Action } from '../api/action.ts';
import type { Managed } from '../api/managed.ts';
import type { About } from '../console/contract.ts';
import { readApply, readDraft } from '../console/read-body.ts';
import type { Asked, Routes } from '../console/routes.ts';
import type { Source } from '../console/source.ts';
import { applyDraft, failureOf, previewDraft } from './apply-draft.ts';
import { draftOfPast, isOfPast, viewChanges } from './changes-view.ts';
import { HostsViewer } from './hosts-view.ts';
import { viewKey, type SignedInVisitor } from './key-entrance.ts';
import { checkRight, routeOf, type ActionRights } from './rights.ts';

export interface EstateRoutesParts {
  readonly every: Routes;
  readonly source: Source;
  readonly managed: Managed;
  /** Those of EC2 that are served. */
  readonly actions: readonly Action[];
  /** Ms since 1970. */
  readonly now: () => number;
}

export class EstateRoutes {
  private readonly parts: EstateRoutesParts;
  private readonly rights: ActionRights;
  private readonly hosts: HostsViewer;

  constructor(parts: EstateRoutesParts) {
    this.parts = parts;
    this.hosts = new HostsViewer(parts.managed.estate);
    this.rights = new Map(
      parts.actions
        .filter(({ service }) => service === 'ec2')
        .map(({ name, right }) => [name, right]),
    );
  }

  /** @throws ConsoleFailure */
  async answer(asked: Asked, visitor: SignedInVisitor): Promise<unknown> {
    const { method, path, query, body } = asked;
    const route = routeOf(method, path);
    checkRight(this.rights, visitor.caller, route);
    const { every, source, managed, now } = this.parts;
    const { estate } = managed;
    switch (route) {
      case 'GET about':
        return this.about(visitor);
      case 'GET changes':
        return viewChanges(estate, (await source.snapshot()).config.model, query);
      case 'GET hosts':
        return this.hosts.view(now());
      case 'GET draft':
        if (!isOfPast(query)) return every.answer(asked);
        return draftOfPast(estate, (await source.snapshot()).config.model, query);
      case 'POST draft':
        return this.preview(readDraft(body), visitor);
      case 'POST apply': {
        const { preview, ...draft } = readApply(body);
        const applying = { managed, rights: this.rights, visitor, draft, nowMs: now() };
        return applyDraft(applying, preview);
      }
      default:
        return every.answer(asked);
    }
  }

  private async about({ caller }: SignedInVisitor): Promise<About> {
    const key = viewKey(caller);
    return { ...(await this.parts.source.about()), mayApply: key.policy === 'write', key };
  }

  private async preview(
    draft: ReturnType<typeof readDraft>,
    visitor: SignedInVisitor,
  ): Promise<unknown> {
    const { managed, source, now } = this.parts;
    try {
      // What other servers have answered is looked at, too.
      await managed.catchUp();
      const { config } = await source.snapshot();
      const applying = { managed, rights: this.rights, visitor, draft, nowMs: now() };
      return await previewDraft(applying, config);
    } catch (error) {
      throw failureOf(error);
    }
  }
}
