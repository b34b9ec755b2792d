/**
 * This file answers the request `preview`: what a draft of a group would do here, were it in force. It is the engine of
 * `sgctl reload --dry-run` (impact.ts), asked about the configuration in force with other rules of one group.
 */
import { draftConfig, type GroupDraft } from '../config/group-draft.ts';
import type { DraftPreview } from '../queries/draft-preview.ts';
import { admittedAnew } from './admitted-anew.ts';
import type { Daemon } from './daemon.ts';

/** As often as a change may come between before we give up. */
const ATTEMPTS_MAX = 3;

/** Nothing is changed. If a change is made while the connections are looked at, we look again. */
export async function previewDraft(
  daemon: Pick<Daemon, 'planWith' | 'generation'>,
  draft: GroupDraft,
): Promise<DraftPreview> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const planned = await daemon.planWith((config) => draftConfig(config, draft));
    const { before, made, impact } = planned;
    const { config, problems } = made;
    if (impact === undefined || config === undefined) return { outcome: 'refused', problems };
    if (daemon.generation === planned.generation)
      return { outcome: 'planned', impact, admitted: admittedAnew(before, config), problems };
  }
  throw new Error('the rules in force changed all the time');
}
