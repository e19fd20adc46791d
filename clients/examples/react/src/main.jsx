import { createRoot } from 'react-dom/client';
import { CasterPage } from './CasterPage.jsx';
import { TvPage } from './TvPage.jsx';

// The address of your Castway server.
const SERVER = new URLSearchParams(location.search).get('server') ?? 'https://cast.example.org';

const Page = location.hash === '#tv' ? TvPage : CasterPage;
createRoot(document.getElementById('root')).render(<Page server={SERVER} />);
