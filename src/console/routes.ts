/**
 * This file has what every console answers below `/api/`: a function for each method and path of contract.ts. Those of
 * secgroup-api alone are in api-console/estate-routes.ts.
 */
import { draftOf } from '../config/group-draft.ts';
import { parseQuestion } from '../explain/question.ts';
import { Analysis } from './analysis.ts';
import type { LiveExplanation } from './contract.ts';
import { copyDraft, viewDraft } from './draft-view.ts';
import { ConsoleFailure } from './failure.ts';
import { readDropsQuery, readFlowsQuery, readRulesQuery } from './query-words.ts';
import { readCopy, readDraft, readExplain } from './read-body.ts';
import type { RateKeeper } from './rate-history.ts';
import type { Source } from './source.ts';
import type { Written } from './written.ts';

/** A request whose sender may ask. */
export interface Asked {
  readonly method: 'GET' | 'POST';
  /** Below `/api/`. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Of a POST: what its JSON says. */
  readonly body: unknown;
}

type Route = (asked: Asked) => Promise<unknown>;

const DROP_PATH = /^drops\/(\d{1,15})$/;
const NAME_LENGTH_MAX = 255;

export class Routes {
  private readonly source: Source;
  private readonly analysis = new Analysis();
  private readonly routes: ReadonlyMap<string, Route>;

  constructor(source: Source, rates: RateKeeper) {
    this.source = source;
    this.routes = new Map<string, Route>([
      ['GET about', () => source.about()],
      ['GET map', () => this.map()],
      ['GET matrix', () => this.matrix()],
      ['GET groups', () => source.groups()],
      ['GET rules', ({ query }) => source.rules(readRulesQuery(query))],
      ['POST explain', ({ body }) => this.explain(readExplain(body).question)],
      ['GET flows', ({ query }) => source.flows(readFlowsQuery(query))],
      ['GET drops', ({ query }) => source.drops(readDropsQuery(query))],
      ['GET draft', ({ query }) => this.startDraft(query.get('group') ?? '')],
      ['POST draft', ({ body }) => this.draft(body)],
      ['POST copy', ({ body }) => this.copy(body)],
      ['GET history', () => Promise.resolve(rates.history())],
    ]);
  }

  /**
   * @returns what is written as JSON, or is so already
   * @throws ConsoleFailure
   */
  async answer(asked: Asked): Promise<unknown> {
    const { method, path } = asked;
    const drop = DROP_PATH.exec(path);
    if (method === 'GET' && drop !== null) return this.source.explainDrop(Number(drop[1]));
    const route = this.routes.get(`${method} ${path}`);
    if (route !== undefined) return route(asked);
    const other = method === 'GET' ? 'POST' : 'GET';
    if (this.routes.has(`${other} ${path}`)) throw new ConsoleFailure(405, `ask with ${other}`);
    throw new ConsoleFailure(404, 'there is nothing of that name');
  }

  /** Begins to compute the map, so that who asks for it need not wait. A failure is told to who asks. */
  async prepare(): Promise<void> {
    await this.map().catch(() => undefined);
  }

  private async map(): Promise<Written> {
    return this.analysis.mapOf(await this.source.snapshot());
  }

  private async matrix(): Promise<Written> {
    return this.analysis.matrixOf(await this.source.snapshot());
  }

  private async explain(text: string): Promise<LiveExplanation> {
    const question = parseQuestion(text);
    if (question.ok) return this.source.explain(question.value);
    return { outcome: 'misunderstood', message: question.message, hint: question.hint };
  }

  private async startDraft(group: string): Promise<unknown> {
    if (group === '' || group.length > NAME_LENGTH_MAX)
      throw new ConsoleFailure(400, 'group is the name or the id of a group');
    const { config } = await this.source.snapshot();
    const { draft, problems } = draftOf(config.model, group);
    if (draft !== undefined) return draft;
    throw new ConsoleFailure(404, problems[0].message);
  }

  private async draft(body: unknown): Promise<unknown> {
    const draft = readDraft(body);
    const { config } = await this.source.snapshot();
    return viewDraft(config, draft, (asked) => this.source.preview(asked));
  }

  private async copy(body: unknown): Promise<unknown> {
    const request = readCopy(body);
    const { config } = await this.source.snapshot();
    return copyDraft(config, request);
  }
}
