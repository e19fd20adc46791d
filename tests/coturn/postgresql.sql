--
-- PostgreSQL database dump
--

-- Dumped from database version 15.10
-- Dumped by pg_dump version 15.10

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

--
-- Data for Name: denied_peer_ip; Type: TABLE DATA; Schema: public; Owner: turn
--

COPY public.denied_peer_ip (realm, ip_range) FROM stdin;
	198.18.0.1-198.18.0.9
	8.8.8.0-8.8.8.255
\.


--
-- Data for Name: turn_secret; Type: TABLE DATA; Schema: public; Owner: turn
--

COPY public.turn_secret (realm, value) FROM stdin;
north.example	a secret of ours
south.example	a secret of theirs
\.


--
-- Data for Name: turnusers_lt; Type: TABLE DATA; Schema: public; Owner: turn
--

COPY public.turnusers_lt (realm, name, hmackey) FROM stdin;
north.example	O'Neil	bc807ee29df3c9ffa736523fb2c4e8ee                                                                                                
north.example	alice	7da2270ccfa49786e0115366d3a3d14d                                                                                                
south.example	carol	6972e85e51f36e53b0b61759c5a5219a                                                                                                
\.
