// A preprocessor of mdBook: links from the book to other files of the repository lead to the repository's page, and Chinese chapters say that
// they are Chinese, since a book has one language. Between Chinese characters the end of a line would be shown as a space.
import { normalize } from 'node:path/posix';

if (process.argv[2] === 'supports') process.exit(0);
let input = '';
for await (const chunk of process.stdin) input += chunk;
const [context, book] = JSON.parse(input);
const repository = context.config.output.html['git-repository-url'].replace(/\/$/, '');

function lead(chapter) {
  const folder = chapter.path?.includes('/') ? 'docs/zh' : 'docs';
  const outside = (target) => {
    const leads = normalize(`${folder}/${target}`);
    return leads.startsWith('docs/') ? target : `${repository}/${leads}`;
  };
  chapter.content = chapter.content.replace(/\]\(((?:\.\.\/)+[^)\s]+)\)/g, (_, target) => `](${outside(target)})`);
  if (/^zh\/|\.zh-CN\.md$/.test(chapter.path ?? '')) {
    const joined = chapter.content.replace(/(?<=[\u3000-\u9fff\uff00-\uffef])\n *(?=[\u3000-\u9fff\uff00-\uffef])/g, '');
    chapter.content = `<div lang="zh-CN">\n\n${joined}\n\n</div>\n`;
  }
  for (const item of chapter.sub_items) if (item.Chapter) lead(item.Chapter);
}

for (const item of book.items ?? book.sections) if (item.Chapter) lead(item.Chapter);
process.stdout.write(JSON.stringify(book));
