/** This part of the draft writes it as text, to be put where the group is kept. */
import { useEffect, useState } from 'preact/hooks';
import type { CopyAnswer, CopyRequest, GroupDraft } from '../../../contract.ts';
import { ask, AskError } from '../../browser/api.ts';
import { copyText, saveFile } from '../../browser/save-file.ts';
import { shown } from '../../logic/shown.ts';
import { Icon } from '../../parts/icon.tsx';
import { Failed, Loading, Note } from '../../parts/states.tsx';
import { Tabs } from '../../parts/tabs.tsx';

type Form = CopyRequest['as'];

const FORMS: readonly { readonly name: Form; readonly title: string; readonly file: string }[] = [
  { name: 'yaml', title: 'YAML', file: 'group.yaml' },
  { name: 'cloudformation', title: 'CloudFormation', file: 'group.template.yaml' },
  { name: 'terraform', title: 'Terraform', file: 'group.tf.json' },
  { name: 'commands', title: 'AWS CLI', file: 'group.sh' },
];

type Copy = { readonly answer: CopyAnswer } | { readonly error: AskError } | undefined;

export function DraftCopies({ draft }: { readonly draft: GroupDraft }) {
  const [form, setForm] = useState<Form>('yaml');
  const copy = useCopy(draft, form);
  return (
    <section class="card">
      <h2>Copy as</h2>
      <Tabs label="Form of the copy" tabs={FORMS} chosen={form} choose={setForm} />
      {copy === undefined ? (
        <Loading what="the text" />
      ) : 'error' in copy ? (
        <Failed error={copy.error} />
      ) : (
        <CopiedText
          answer={copy.answer}
          file={FORMS.find(({ name }) => name === form)?.file ?? 'group.txt'}
        />
      )}
    </section>
  );
}

const PAUSE_MS = 500;

function useCopy(draft: GroupDraft, form: Form): Copy {
  const [copy, setCopy] = useState<Copy>(undefined);
  const text = JSON.stringify(draft);
  useEffect(() => {
    const ended = new AbortController();
    const request: CopyRequest = { ...draft, as: form };
    const timer = setTimeout(() => {
      ask<CopyAnswer>('copy', request, ended.signal).then(
        (answer) => !ended.signal.aborted && setCopy({ answer }),
        (error: unknown) =>
          !ended.signal.aborted &&
          setCopy({
            error: error instanceof AskError ? error : new AskError(String(error), undefined, 0),
          }),
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      ended.abort();
    };
  }, [text, form]);
  return copy;
}

function CopiedText({ answer, file }: { readonly answer: CopyAnswer; readonly file: string }) {
  const [told, setTold] = useState('');
  const copy = async (): Promise<void> => {
    setTold(
      (await copyText(answer.text))
        ? 'Copied.'
        : 'The browser does not let the page copy: select the text.',
    );
  };
  return (
    <>
      {answer.losses.map((loss) => (
        <Note key={loss} kind="warning">
          {shown(loss)}
        </Note>
      ))}
      <pre class="copy" tabIndex={0} aria-label="The draft as text">
        {/* Line by line, since a line break is no deceit here. */}
        {answer.text.split('\n').map(shown).join('\n')}
      </pre>
      <div class="tools">
        <button type="button" class="primary" onClick={() => void copy()}>
          <Icon name="copy" /> Copy
        </button>
        <button type="button" onClick={() => saveFile(file, answer.text, 'text/plain')}>
          <Icon name="save" /> Save
        </button>
        <p class="muted" role="status">
          {told}
        </p>
      </div>
    </>
  );
}
