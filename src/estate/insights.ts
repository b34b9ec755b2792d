/** Calls on Reachability Analyzer's paths and analyses: questions that are kept, and their answers. */
import type { Checked } from '../policy/refusals.ts';
import { newTags, refused, type CallContext } from './calls.ts';
import type { Edit } from './edit.ts';
import type { InsightsAnalysis, InsightsPath, Tags } from './model.ts';

export type NewPath = Omit<InsightsPath, 'id' | 'createdAt' | 'declaredAt'>;

export function createPath(edit: Edit, given: NewPath, context: CallContext): Checked<string> {
  const tags = newTags(given.tags);
  if (!tags.ok) return tags;
  const id = context.newId('nip');
  const path = { ...given, id, createdAt: new Date().toISOString() };
  edit.write('insights-paths', id, path);
  return { ok: true, value: id };
}

/** Deletes a path, if no analysis of it is left. */
export function deletePath(edit: Edit, id: string): Checked<InsightsPath> {
  const found = findPath(edit, id);
  if (!found.ok) return found;
  edit.requireUnused(id);
  const analyses = edit.estate.list('insights-analyses').filter(({ pathId }) => pathId === id);
  if (analyses.length > 0) {
    const message = `The path '${id}' has analyses and cannot be deleted.`;
    return refused('DependencyViolation', message, `delete ${analyses[0].id} first`);
  }
  edit.erase('insights-paths', id);
  return found;
}

/** Keeps the answer of an analysis. */
export function keepAnalysis(
  edit: Edit,
  pathId: string,
  answer: Pick<InsightsAnalysis, 'isFound' | 'output'>,
  given: Tags,
  context: CallContext,
): Checked<string> {
  const tags = newTags(given);
  if (!tags.ok) return tags;
  const id = context.newId('nia');
  const startedAt = new Date().toISOString();
  edit.use(pathId);
  edit.write('insights-analyses', id, { ...answer, id, pathId, startedAt, tags: tags.value });
  return { ok: true, value: id };
}

export function deleteAnalysis(edit: Edit, id: string): Checked<InsightsAnalysis> {
  const found = edit.read('insights-analyses', id);
  if (found === undefined) {
    const message = `The analysis '${id}' does not exist`;
    return refused('InvalidNetworkInsightsAnalysisId.NotFound', message);
  }
  edit.erase('insights-analyses', id);
  return { ok: true, value: found };
}

/** A path that is there. @returns AWS's refusal otherwise */
export function findPath(edit: Edit, id: string): Checked<InsightsPath> {
  const path = edit.read('insights-paths', id);
  if (path !== undefined) return { ok: true, value: path };
  return refused('InvalidNetworkInsightsPathId.NotFound', `The path '${id}' does not exist`);
}
